"""oauth2-proxy's configuration, in all its forms, as one of ours."""

from vestibule.config.importers.oauth2_proxy.whole import import_oauth2_proxy

__all__ = ["import_oauth2_proxy"]
