host "nomad.example.com" {
  backend = "serving:nomad"
  atproto {
    name   = "nomad"
    scopes = ["atproto"]
  }
}

serve "nomad" {
  port    = 4647
  backend = "127.0.0.1:4646"
  atproto_auth {
    handles = ["ann.example"]
  }
}

serve "api" {
  name    = "API"
  port    = 4700
  backend = "127.0.0.1:4701"
  apikey_auth {
    users = <<END
ann:$2y$05$abcdefghijklmnopqrstuu5s1sTh0bGPSkLZ8bTfoHQ8xUhn7Jw7a
END
  }
}

host "echo.example.com" {
  backend = "internal:httpbin"
  access {
    allow = ["public"]
  }
}
