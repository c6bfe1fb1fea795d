# One file for both nodes: what differs between them comes from the environment.

gateway {
  http            = ["127.0.0.1:${env("NODE_PORT")}"]
  workers         = 2
  trusted_proxies = ["127.0.0.1"]
  state           = "${env("NODE_STATE")}"
}

# The key ring is the same on all nodes: VESTIBULE_SESSION_KEY.
store {
  url      = "${env("DATABASE_URL")}"
  sessions = "${env("REDIS_URL")}"
}

provider "demo" {
  type          = "oidc"
  issuer        = "${env("ISSUER")}"
  client_id     = "scale"
  client_secret = "${env("CLIENT_SECRET")}"
}

host "localhost" {
  backend    = "internal:echo"
  public_url = "${env("PUBLIC_URL")}"
  sign_in    = ["demo"]

  access {
    allow = ["anyone"]
  }
}
