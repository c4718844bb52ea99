# A listener for ejabberdctl, whose CTL_OVER_HTTP names the socket.
/^listen:/a\
  -\
    port: "unix:../sockets/ctl_over_http.sock"\
    module: ejabberd_http\
    unix_socket:\
      mode: '0600'\
    request_handlers:\
      /ctl: ejabberd_ctl
