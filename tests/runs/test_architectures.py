"""The networks by name."""

import keras
import pytest

from cxr.runs import architectures
from cxr.runs.architectures import ARCHITECTURES
from cxr.training import networks


@pytest.mark.parametrize("name", [n for n in ARCHITECTURES if n.startswith("eff")])
def test_every_name_has_a_builder_in_keras(name):
    assert callable(getattr(keras.applications, ARCHITECTURES[name].builder))


def test_unknown_name_is_named():
    with pytest.raises(ValueError, match="received architecture='resnet'"):
        architectures.find("resnet")


@pytest.mark.parametrize("name", ["efficientnet-b0", "efficientnet-v2-b0"])
def test_network_can_be_divided_at_its_last_block_and_at_none_above(name):
    network = networks.build(name, backbone_weights="none")
    last = ARCHITECTURES[name].last_block
    assert network.input_shape[1] == ARCHITECTURES[name].size
    networks.divide(network, last)
    with pytest.raises(ValueError, match="expected a block"):
        networks.divide(network, last + 1)
