call "google" {
name = "Google"
port = 4848
endpoint = "www.googleapis.com"
auth {
name = "authorization"
location = "header"
credential = "session:google"
}
}
