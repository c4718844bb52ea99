# Edits to ejabberdctl for the layout `ghcr`, after common.sed.

# The script has no install user: root runs the VM as root.
/^INSTALLUSER=/d
s|^ERL=.*|ERTS_VSN="@ERTS@"\
ERL="${SCRIPT_DIR%/*}/erts-${ERTS_VSN#erts-}/bin/erl"|
s|^EPMD=.*|EPMD="${SCRIPT_DIR%/*}/erts-${ERTS_VSN#erts-}/bin/epmd"|
s|"/etc/ejabberd"|"${SCRIPT_DIR%/*}/conf"|
s|"/var/log/ejabberd"|"${SCRIPT_DIR%/*}/logs"|
s|"/var/lib/ejabberd"|"${SCRIPT_DIR%/*}/database"|
# Single quotes, as upstream: the VM gets this text unexpanded, and finds its libraries
# in its root anyway.
s|^ERL_LIBS=.*|ERL_LIBS='${SCRIPT_DIR%/*}/lib'|
s|^ERLANG_OPTS="+K|ERLANG_OPTS="-boot ../releases/@RELEASE@/start_clean -boot_var RELEASE_LIB ../lib +K|

# The server derives the temporary name of the control socket from the cookie (Base64),
# and cannot start if that name has a slash: with about 15 of 100 cookies. The cookie of
# a test image must not cause this failure, so it is fixed.
/^if \[ -n "\$ERLANG_COOKIE" \]/i\
: "${ERLANG_COOKIE:=EJABBERDOPERATORTEST}"
