"""Layers as assets of CDK."""

import shutil

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from infra.layers import REQUIREMENTS, Target, build_layer, layer_key


def layer_code(name: str, target: Target) -> lambda_.Code:
    """Make a CDK asset of the layer of requirements/<name>.lock."""
    key = layer_key(name, target)
    return lambda_.Code.from_asset(
        str(REQUIREMENTS),
        asset_hash=key,
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            # Never used (the local bundler always succeeds or raises), but required; and CDK
            # tells two bundlings of one folder apart by their commands alone.
            image=DockerImage.from_registry("scratch"),
            command=[name, key],
            local=PipBundling(name, target),
        ),
    )


@jsii.implements(ILocalBundling)
class PipBundling:
    """CDK's hook: fills the asset's folder on this machine."""

    def __init__(self, name: str, target: Target) -> None:
        self._name = name
        self._target = target

    def try_bundle(self, output_dir: str, *_options: object, **_named: object) -> bool:
        """Copy the built layer into `output_dir`; True, because Docker is never wanted."""
        shutil.copytree(build_layer(self._name, self._target), output_dir, dirs_exist_ok=True)
        return True
