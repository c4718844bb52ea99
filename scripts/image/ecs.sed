# Edits to ejabberdctl for the layout `ecs`, after common.sed and exec.sed.

s|^FIREWALL_WINDOW=.*|FIREWALL_WINDOW="4370-4379"|
s|^ERLANG_NODE=.*|&\
EJABBERD_BYPASS_WARNINGS=true|
s|^ERL=.*|ROOT_DIR=/home/ejabberd\
ERL="$ROOT_DIR"/bin/erl|
s|^EPMD=.*|EPMD="$ROOT_DIR"/bin/epmd|
s|CONFIG_DIR|ETC_DIR|g
s|"/etc/ejabberd"|"$ROOT_DIR/conf"|
s|"/var/log/ejabberd"|"$ROOT_DIR/logs"|
s|"/var/lib/ejabberd"|"$ROOT_DIR/database"|
s|^ERL_LIBS=.*|ERL_LIBS="$ROOT_DIR/lib"|

# The directory is `database` when the VM starts. No -boot: the server is start.boot.
s|^ERLANG_OPTS="+K|ERLANG_OPTS="-boot_var RELEASE_LIB ../lib +K|
s|"\$ERL"\( \$ERLANG_OPTS\)\{0,1\} -noshell|"$ERL" -boot start_clean -noshell|
s|-hidden|-hidden -boot start_clean|

# A VM for a command is a node with a separate name, and uses one of the ten ports
# above; Debian's VM is a dynamic node, which listens at no port.
/^uid() *{\{0,1\}$/,/^}/c\
uid()\
{\
    id=$(head -c 3 /proc/sys/kernel/random/uuid)\
    case $# in\
        0) echo "$id-$ERLANG_NODE" ;;\
        1) echo "$id-$1-$ERLANG_NODE" ;;\
        *) echo "$id-$1@$2" ;;\
    esac\
}
