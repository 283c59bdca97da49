"""The stack: what `cdk deploy` puts into an account."""

import os

# Node 20 works (it is what the tests run on); without this, jsii ends every run with a banner.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
