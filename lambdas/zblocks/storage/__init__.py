"""Bytes in folders, in buckets and behind http(s) addresses, and the credentials to reach them."""
