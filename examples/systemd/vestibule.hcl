# For vestibule.service, which hands over the sockets of vestibule.socket and vestibule-tls.socket.
gateway {
  http  = ["systemd:web"]
  https = ["systemd:tls"]
  state = "/var/lib/vestibule"
}

host "app.example.com" {
  backend = "127.0.0.1:3000"
  access {
    allow = ["public"]
  }
}
