"""proxies.py - nginx, Apache httpd, HAProxy and Caddy as they stand before an application: behind sluice, whose
word on the client they take, or in front of it. Each passes everything on to `upstream` and adds X-Instance."""

from servers import *


class Proxy(Server):
    """address: clients whose X-Forwarded-For counts where they are 127.0.0.1 (as sluice is in these tests);
    by_protocol: the same by the PROXY protocol, where the software has it; tls: as address, with a certificate."""

    def __init__(self, t, name, upstream, leaf=None):
        self.name, self.upstream = name, upstream
        self.dir = t.path(name)
        os.mkdir(self.dir)
        self.address_, self.by_protocol, self.tls = t.address(), t.address(), t.address()
        self.leaf = leaf
        self.pem = os.path.join(self.dir, "both.pem")
        if leaf:
            with open(self.pem, "w") as out:
                for path in (leaf.cert, leaf.key):
                    with open(path) as f:
                        out.write(f.read())
        self.conf_path = os.path.join(self.dir, "conf")
        with open(self.conf_path, "w") as f:
            f.write(self.conf())
        super().__init__(t, name, self.command_(), self.address_, env={"HOME": self.dir, "XDG_DATA_HOME": self.dir,
                                                                      "XDG_CONFIG_HOME": self.dir})


class Nginx(Proxy):
    tls_words = " ssl"

    def command_(self):
        return ["nginx", "-c", self.conf_path, "-p", self.dir]

    def conf(self):
        d = self.dir
        server = """
  server {
    listen %s; set_real_ip_from 127.0.0.1; real_ip_header %s; %s
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto %s;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_hide_header X-Instance;
      add_header X-Instance %s;
    }
  }"""
        trusted = "$trusted_proto"
        text = server % (where(self.address_), "X-Forwarded-For", "", trusted, self.name)
        text += server % (where(self.by_protocol) + " proxy_protocol", "proxy_protocol", "", trusted, self.name)
        if self.leaf:
            text += server % (where(self.tls) + self.tls_words, "X-Forwarded-For", "ssl_certificate %s; ssl_certificate_key %s;" % (
                self.leaf.cert, self.leaf.key), trusted, self.name)
        return """daemon off; worker_processes 2; pid %s/pid; error_log stderr; %s
events { }
http {
  access_log off; client_max_body_size 0; client_body_temp_path %s/b; proxy_temp_path %s/p;
  fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  map $realip_remote_addr $trusted_proto { default $scheme; 127.0.0.1 $http_x_forwarded_proto; }
  upstream app { server %s; keepalive 8; }
%s
}
""" % (d, "user root;" if os.geteuid() == 0 else "", d, d, d, d, d, where(self.upstream), text)


class Nginx2(Nginx):
    """What stands behind sluice speaks HTTP/2 over TLS alone."""
    tls_words = " ssl http2"

    def __init__(self, t, name, upstream, leaf):
        super().__init__(t, name, upstream, leaf)
        self.address = self.tls


class Apache(Proxy):
    def command_(self):
        return ["apache2", "-f", self.conf_path, "-DFOREGROUND"]

    def conf(self):
        modules = ["mpm_event", "authz_core", "headers", "setenvif", "proxy", "proxy_http", "proxy_wstunnel", "remoteip", "ssl"]
        host = """
<VirtualHost %s>
  %s
  ProxyPass / http://%s/ upgrade=websocket flushpackets=on
  Header set X-Instance %s
</VirtualHost>"""
        up = where(self.upstream)
        trusted = "RemoteIPHeader X-Forwarded-For\n  RemoteIPInternalProxy 127.0.0.1"
        text = host % (where(self.address_), trusted, up, self.name)
        text += host % (where(self.by_protocol), "RemoteIPProxyProtocol On\n  RequestHeader unset X-Forwarded-For", up, self.name)
        if self.leaf:
            text += host % (where(self.tls), "SSLEngine on\n  SSLCertificateFile %s\n  SSLCertificateKeyFile %s\n"
                            "  RequestHeader set X-Forwarded-Proto https\n  RequestHeader unset X-Forwarded-For" % (
                                self.leaf.cert, self.leaf.key), up, self.name)
        if self.leaf:  # in front: nobody is trusted
            text = text.replace(trusted, "RequestHeader set X-Forwarded-Proto http\n  RequestHeader unset X-Forwarded-For")
        return """ServerRoot %s
DefaultRuntimeDir %s
PidFile %s/pid
ErrorLog %s/error.log
ServerName www.example.com
%s
%s
ProxyPreserveHost On
ProxyTimeout 60
%s%s
""" % (self.dir, self.dir, self.dir, self.dir, "\n".join("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so" % (m, m) for m in modules),
            "User nobody\nGroup nogroup" if os.geteuid() == 0 else "",
            "".join("Listen %s\n" % where(a) for a in [self.address_, self.by_protocol] + ([self.tls] if self.leaf else [])), text)


class Haproxy(Proxy):
    def command_(self):
        return ["haproxy", "-db", "-f", self.conf_path]

    def conf(self):
        return """global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend web
  bind %s
  bind %s accept-proxy
  %s
  acl sluice src 127.0.0.1
  http-request set-header X-Forwarded-Proto %%[ssl_fc,iif(https,http)] if !sluice !{ fc_rcvd_proxy }
  http-request set-src req.hdr_ip(x-forwarded-for,-1) if sluice
  http-request del-header X-Forwarded-For
  http-after-response set-header X-Instance %s
  option forwardfor
  default_backend app
backend app
  server app %s
""" % (where(self.address_), where(self.by_protocol), "bind %s ssl crt %s" % (where(self.tls), self.pem) if self.leaf else "",
            self.name, where(self.upstream))


class Caddy(Proxy):
    """Debian's has no PROXY protocol (2.7 and later have)."""

    def command_(self):
        return ["caddy", "run", "--config", self.conf_path, "--adapter", "caddyfile"]

    def conf(self):
        site = """
%s {
  bind %s
  %s
  reverse_proxy %s {
    trusted_proxies 127.0.0.1/32
    flush_interval -1
    header_down X-Instance %s
  }
}"""
        ip = self.address_[0]
        text = site % ("http://:%d" % self.address_[1], ip, "", where(self.upstream), self.name)
        if self.leaf:
            text += site % ("https://:%d" % self.tls[1], ip, "tls %s %s" % (self.leaf.cert, self.leaf.key), where(self.upstream), self.name)
        return "{\n  admin off\n  auto_https off\n}\n" + text + "\n"
