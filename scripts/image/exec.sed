# The script replaces itself by the VM, so that the VM gets the SIGTERM of `docker stop`.
# Commands that the script waits for run in a subshell.
/^exec_cmd()/,/^}/s|^\( *as_current_user) *\)"\$@"|\1exec "$@"|
/^exec_cmd()/,/^}/s|^\( *\)"\$@"$|\1exec "$@"|
/^# usage$/i\
run_cmd() { (exec_cmd "$@"); }\
run_erl() { (exec_erl "$@"); }\

s|exec_erl "\$(uid ctl)"|run_erl "$(uid ctl)"|
s/|| exec_cmd mkdir/|| run_cmd mkdir/
