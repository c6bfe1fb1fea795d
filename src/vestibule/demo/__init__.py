"""The demo: an OpenID provider of its own, an app that knows no OAuth, and the stage both stand on."""

#: the demo app as it is registered at the demo's provider, and where the provider finds its secret
CLIENT_ID = "demo-app"
SECRET_VARIABLE = "VESTIBULE_DEMO_CLIENT_SECRET"  # noqa: S105 - the name of a variable
