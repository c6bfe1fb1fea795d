# two APIs behind one ingress
license = "abcdef"

ingress "app.example.com" {
  name    = "app"
  backend = "localhost:3000"
  oauth_client "google" {
    client_id        = "123.apps.googleusercontent.com"
    client_secret    = "hidden-secret" # from the console
    authorize_url    = "https://accounts.google.com/o/oauth2/auth"
    access_token_url = "https://accounts.google.com/o/oauth2/token"
    scopes           = ["profile", "email"]
  }
}

ingress {}

calling "google" {
  port     = 4848
  target   = "www.googleapis.com"
  protocol = "http2"
  apply_header "Authorization" {
    secret = "session:google"
  }
}

calling "billing" {
  port   = 4849
  target = "billing.internal:8080"
  apply_header "X-Key" {
    secret = "billing"
  }
}

secret "billing" {
  value = "hidden-secret"
}
