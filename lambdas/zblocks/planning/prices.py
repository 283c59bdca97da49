"""List prices of AWS, with their date and region; a JSON file can replace any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, ValidationError

from zblocks.config.messages import invalid, read_file, read_object, show, unknown_fields
from zblocks.errors import InvalidConfig

Dollars = Annotated[float, Field(ge=0, le=1e9), AllowInfNan(False)]
Label = Annotated[str, Field(min_length=1, max_length=100)]


class Prices(BaseModel):
    """Dollars, before free tiers, discounts and taxes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    date: Label = "2026-11"
    region: Label = "us-east-1"
    lambda_gb_s_arm64: Dollars = 0.0000133334
    lambda_gb_s_x86_64: Dollars = 0.0000166667
    lambda_million_requests: Dollars = 0.20
    transitions_thousand: Dollars = 0.025
    """State transitions of standard workflows."""
    put_thousand: Dollars = 0.005
    """S3 Standard: PUT and LIST."""
    get_thousand: Dollars = 0.0004
    """S3 Standard: GET and HEAD."""
    logs_gb: Dollars = 0.50
    """CloudWatch Logs, ingested."""
    storage_gb_month: Dollars = 0.023
    """S3 Standard, the first 50 TB."""

    def lambda_gb_s(self, architecture: str) -> float:
        """Return the price of a GB-second on `arm64` or `x86_64`."""
        return self.lambda_gb_s_arm64 if architecture == "arm64" else self.lambda_gb_s_x86_64

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of prices.

        Raises:
            InvalidConfig: one line for each field that can't be used.
        """
        given = read_object(read_file(path), str(path))
        known = list(cls.model_fields)
        problems = [*unknown_fields(given, known)]
        try:
            prices = cls.model_validate({k: v for k, v in given.items() if k in known})
        except ValidationError as error:
            names = dict.fromkeys(str(e["loc"][0]) for e in error.errors(include_url=False))
            texts = ("date", "region")
            problems += [
                f"{n}: found {show(given[n])}; give "
                + ("a short text" if n in texts else "dollars, a number from 0 to 1e9")
                for n in names
            ]
        if problems:
            raise InvalidConfig(f"{path}: {invalid(problems)}")
        return prices
