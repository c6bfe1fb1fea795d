"""The demo: an OpenID provider of its own, an app that knows no OAuth, and the stage both stand on."""
