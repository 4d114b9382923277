# config.capnp - the worker beside it, as etc/docs/stacks/workerd.md says. Its socket is inherited from whoever
# starts it (--socket-fd http=3); the address is for a start by hand.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "main",
      worker = (
        modules = [ (name = "worker.js", esModule = embed "worker.js") ],
        compatibilityDate = "2025-09-01",
        bindings = [
          (name = "NAME", fromEnvironment = "APP_NAME"),
          (name = "FILES", service = "files")
        ] ) ),
    # Where the tests say that a client has had an event.
    ( name = "files", disk = "/" )
  ],
  sockets = [
    ( name = "http", address = "127.0.0.1:8080", service = "main",
      # The scheme of request.url is the client's.
      http = (forwardedProtoHeader = "X-Forwarded-Proto") )
  ]
);
