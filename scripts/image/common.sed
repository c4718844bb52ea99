# Edits to the ejabberdctl of Debian that both layouts need.

1s|.*|#!/bin/sh|

# A cookie from the environment, kept at the first start.
/^# parse command line parameters/i\
if [ -n "$ERLANG_COOKIE" ] && ! [ -f "$HOME/.erlang.cookie" ]; then\
    (umask 277 && echo "$ERLANG_COOKIE" >"$HOME/.erlang.cookie")\
fi\


# The database of older images is in a folder with the name of the node.
/^check_start()/,/^{/s|^{$|{\
    [ -d "$HOME/database/$ERLANG_NODE" ] \|\| ln -s "$HOME/database" "$HOME/database/$ERLANG_NODE"|

# While the server starts, a process in the background asks for the status every two
# seconds (each time with a VM), and then runs the commands in CTL_ON_CREATE (with a new
# database) and CTL_ON_START. `;` separates commands.
/^# ensure we can change current directory/i\
run_commands()\
{\
    command=\
    for word in "$@" ";"; do\
        if [ "$word" = ";" ]; then\
            # shellcheck disable=SC2086\
            [ -z "$command" ] || "$0" $command || exit\
            command=\
        else\
            command="$command $word"\
        fi\
    done\
}\
[ -f "$SPOOL_DIR/schema.DAT" ] || FIRST_RUN=true\

/^    foreground)/,/;;/s|^        check_start$|&\
        (FIRST_RUN=$FIRST_RUN "$0" post_waiter) \&|
/^    stopped)/i\
    post_waiter)\
        "$0" started\
        # shellcheck disable=SC2086\
        [ -z "$FIRST_RUN" ] || run_commands $CTL_ON_CREATE\
        # shellcheck disable=SC2086\
        run_commands $CTL_ON_START\
        ;;
