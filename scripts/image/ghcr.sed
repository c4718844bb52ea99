# Edits to ejabberdctl for the layout `ghcr`, after common.sed.

# The script has no install user: root runs the VM as root.
/^INSTALLUSER=/d
s|^ERL=.*|ERTS_VSN="@ERTS@"\
ERL="${SCRIPT_DIR%/*}/erts-${ERTS_VSN#erts-}/bin/erl"|
s|^EPMD=.*|EPMD="${SCRIPT_DIR%/*}/erts-${ERTS_VSN#erts-}/bin/epmd"|
s|"/etc/ejabberd"|"${SCRIPT_DIR%/*}/conf"|
s|"/var/log/ejabberd"|"${SCRIPT_DIR%/*}/logs"|
s|"/var/lib/ejabberd"|"${SCRIPT_DIR%/*}/database"|
# Single quotes, upstream too: the VM gets this text as it is, and finds its libraries
# all the same, in its root.
s|^ERL_LIBS=.*|ERL_LIBS='${SCRIPT_DIR%/*}/lib'|
s|^ERLANG_OPTS="+K|ERLANG_OPTS="-boot ../releases/@RELEASE@/start_clean -boot_var RELEASE_LIB ../lib +K|

# The server puts the control socket under a temporary name that is made from the cookie
# (Base64), and never starts when that name has a slash: with about 15 of 100 cookies.
# A test image must not: this cookie is a good one.
/^if \[ -n "\$ERLANG_COOKIE" \]/i\
: "${ERLANG_COOKIE:=EJABBERDOPERATORTEST}"
