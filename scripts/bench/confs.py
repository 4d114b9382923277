"""confs.py - the configurations of the proxies that bench.py compares, each with its best settings as far
as we found them. mode: tcp, http, https (HTTP/1 and 2 over TLS in front, the same origin behind)."""

def sluice_conf(engine, port, backends, balance="round_robin", health='type = "none";'):
    rows = ",\n".join('    { name = "b%d"; address = "%s"; }' % (i, b)
                      for i, b in enumerate(backends))
    return """workers = 1;
io = "%s";
log = { level = "warn"; access = "off"; };
pools = ( { name = "app"; mode = "tcp"; balance = "%s"; health = { %s };
  backends = (
%s ); } );
listeners = ( { name = "front"; mode = "tcp"; bind = "127.0.0.1:%d"; pool = "app"; } );
""" % (engine, balance, health, rows, port)


# What is best for bulk differs by the machine, so that scenario runs several settings (BULK_PEERS)
# and the ratios are to the best of them. tune.pipesize 1m halves the calls of splicing.
HAPROXY = """global
  nbthread 1
  maxconn 6000
  maxpipes 512
  tune.pipesize 1048576
  tune.bufsize %(bufsize)d
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  %(splice)s
listen front
  bind 127.0.0.1:%(port)d
%(servers)s
"""

# reuseport has no effect with one worker but costs nothing; proxy_buffer_size 64k is its best for
# bulk (16k: a quarter more CPU), and it only allocates per session.
NGINX = """worker_processes 1;
daemon off;
pid %(dir)s/nginx.pid;
error_log %(dir)s/nginx.log crit;
worker_rlimit_nofile 20000;
load_module %(module)s;
events { worker_connections 12000; use epoll; multi_accept on; }
stream {
  access_log off;
  upstream app { %(servers)s }
  server { listen 127.0.0.1:%(port)d reuseport backlog=4096; proxy_pass app; tcp_nodelay on;
           proxy_buffer_size %(buffer)s; proxy_timeout 1h; }
}
"""

SLUICE_UDP = """workers = 1;
io = "%(engine)s";
log = { level = "warn"; access = "off"; };
pools = ( { name = "app"; mode = "udp"; backends = ( { name = "b"; address = "%(backend)s"; } ); } );
listeners = ( { name = "front"; mode = "udp"; bind = "127.0.0.1:%(port)d"; pool = "app"; } );
"""

NGINX_UDP = """worker_processes 1;
daemon off;
pid %(dir)s/nginx.pid;
error_log %(dir)s/nginx.log crit;
worker_rlimit_nofile 20000;
load_module %(module)s;
events { worker_connections 12000; use epoll; multi_accept on; }
stream {
  access_log off;
  upstream app { %(servers)s }
  server { listen 127.0.0.1:%(port)d udp reuseport; proxy_pass app; proxy_timeout 60s; }
}
"""

# Mode http: keep-alive on both sides, connections to the origin reused by any client.
SLUICE_HTTP = """workers = %(workers)d;
io = "%(engine)s";
log = { level = "warn"; access = "off"; };
pools = ( { name = "app"; mode = "http"; reuse = "always"; health = { type = "none"; };
  backends = (
%(rows)s ); } );
listeners = ( { name = "front"; mode = "http"; bind = "127.0.0.1:%(port)d"; pool = "app"; %(tls)s } );
"""

HAPROXY_HTTP = """global
  nbthread %(workers)d
  maxconn 6000
  maxpipes 512
  tune.pipesize 1048576
  tune.bufsize %(bufsize)d
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
  %(splice)s
listen front
  bind 127.0.0.1:%(port)d%(tls)s
%(servers)s
"""

NGINX_HTTP = """worker_processes 1;
daemon off;
pid %(dir)s/nginx.pid;
error_log %(dir)s/nginx.log crit;
worker_rlimit_nofile 20000;
events { worker_connections 12000; use epoll; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  upstream app { %(servers)s keepalive 512; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:%(port)d%(tls)s reuseport backlog=4096;
           location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
                        proxy_buffering %(buffering)s; proxy_buffers 16 %(buffer)s;
                        proxy_buffer_size 16k; } }
}
"""


# Static files, each with its cache of open files.
SLUICE_FILES = """workers = 1;
io = "%(engine)s";
log = { level = "warn"; access = "off"; };
listeners = ( { name = "front"; mode = "http"; bind = "127.0.0.1:%(port)d";
  routes = ( { files = { root = "%(root)s"; precompressed = false; }; } ); } );
"""

NGINX_FILES = """worker_processes 1;
daemon off;
pid %(dir)s/nginx.pid;
error_log %(dir)s/nginx.log crit;
worker_rlimit_nofile 20000;
events { worker_connections 12000; use epoll; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on; sendfile on; tcp_nopush on; etag on;
  open_file_cache max=1000 inactive=60s; open_file_cache_valid 1s; open_file_cache_min_uses 1;
  client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  server { listen 127.0.0.1:%(port)d reuseport backlog=4096; root %(root)s; }
}
"""

# Over TLS: one ECDSA P-256 certificate, each with its own defaults of protocol and cipher; nginx and HAProxy
# resume by tickets too.
SLUICE_TLS = """tls = { certificates = ( { cert = "%(dir)s/cert.pem"; key = "%(dir)s/key.pem"; } ); };"""

H2O = """num-threads: 1
user: %(user)s
error-log: %(dir)s/h2o.log
pid-file: %(dir)s/h2o.pid
listen: { host: 127.0.0.1, port: %(port)d,
          ssl: { certificate-file: %(dir)s/cert.pem, key-file: %(dir)s/key.pem } }
hosts:
  default:
    paths:
      "/": { proxy.reverse.url: "http://%(backend)s/", proxy.preserve-host: ON }
"""

# PHP-FPM at a unix socket, as Debian has it; a front controller, and the variables of Debian's fastcgi.conf.
SLUICE_FASTCGI = """workers = 1;
io = "%(engine)s";
log = { level = "warn"; access = "off"; };
pools = ( { name = "php"; mode = "http"; protocol = "fastcgi"; reuse = "%(reuse)s"; health = { type = "none"; };
  cgi = { root = "%(root)s"; script = "/index.php"; };
  backends = ( { name = "fpm"; address = "unix:%(root)s/socket"; } ); } );
listeners = ( { name = "front"; mode = "http"; bind = "127.0.0.1:%(port)d"; pool = "php"; } );
"""

NGINX_FASTCGI = """worker_processes 1;
daemon off;
pid %(dir)s/nginx.pid;
error_log %(dir)s/nginx.log crit;
worker_rlimit_nofile 20000;
events { worker_connections 12000; use epoll; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/f; uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s;
  upstream php { server unix:%(root)s/socket; %(keepalive)s }
  server { listen 127.0.0.1:%(port)d reuseport backlog=4096; root %(root)s;
           location / { include /etc/nginx/fastcgi.conf; fastcgi_param SCRIPT_FILENAME %(root)s/index.php;
                        fastcgi_param SCRIPT_NAME /index.php;
                        fastcgi_pass php; fastcgi_keep_conn %(keep_conn)s; } }
}
"""
