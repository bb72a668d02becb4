"""OpenVINO, without its usage statistics.

Importing `openvino` reports to its maker unless the package `openvino_telemetry` is
missing, in which case it uses a stub of its own. Nothing may leave the machine, so that
package is made unimportable first; every other module takes OpenVINO from here.
"""

import sys

import openvino

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

__all__ = ["openvino"]
