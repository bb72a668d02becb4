"""Decision support for pneumonia on chest X-rays: the core, without a user interface.

Whatever the app can do, `python -m cxr` can do. Research and education only; never a
diagnosis.
"""

__version__ = "0.6.0"
