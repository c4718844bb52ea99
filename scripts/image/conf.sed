# Edits to the configuration of Debian: host, ports and administrator are macros, which
# a variable EJABBERD_MACRO_* overrides.
/^define_macro:/a\
  HOST: localhost\
  ADMIN: admin@localhost\
  PORT_C2S: 5222\
  PORT_C2S_TLS: 5223\
  PORT_S2S: 5269\
  PORT_HTTP_TLS: 5443\
  PORT_HTTP: 5280\
  PORT_BROWSER: 1880\
  PORT_STUN: 5478\
  PORT_MQTT: 1883\
  PORT_PROXY65: 7777
/^hosts:/,/^$/s|- localhost$|- HOST|
s|port: 5222$|port: PORT_C2S|
s|port: 5223$|port: PORT_C2S_TLS|
s|port: 5269$|port: PORT_S2S|
s|port: 5443$|port: PORT_HTTP_TLS|
s|port: 5280$|port: PORT_HTTP|
s|port: [35]478$|port: PORT_STUN|
s|port: 1883$|port: PORT_MQTT|
s|port: 7777$|port: PORT_PROXY65|
/^log_rotate_count:/d
/^  admin:/,/^ *- /s|- ""|- ADMIN|
s|"/etc/ejabberd/ejabberd.pem"|@CONF@/server.pem|
/^listen:/a\
  -\
    port: PORT_BROWSER\
    ip: "::"\
    module: ejabberd_http\
    request_handlers:\
      /: ejabberd_web_admin
