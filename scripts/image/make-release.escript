%% Creates an OTP release of ejabberd in the layout of the official releases.
%%
%%   make-release.escript DIR VERSION
%%
%% DIR/lib/APP-VSN: all applications side by side.
%% DIR/releases/VERSION: the boot files `start` (starts the whole server) and
%% `start_clean` (starts kernel and stdlib alone).

%% The applications of Erlang/OTP that the release has. Like in the official
%% releases, a boot file finds these applications at $ROOT/lib, and all others at
%% $RELEASE_LIB: without `-boot_var RELEASE_LIB` no boot file loads.
-define(OTP, [asn1, compiler, crypto, inets, kernel, mnesia, odbc, os_mon, public_key,
              runtime_tools, sasl, ssl, stdlib, syntax_tools, tools, xmerl]).
%% The applications of the release besides ejabberd and its libraries.
-define(ELIXIR, [elixir, logger]).
%% Debian has these beside the libraries; no official release has them.
-define(LEFT_OUT, [dialyzer, erl_interface, erts, eunit, goldrush, lager, parsetools, proper]).

main([Dir, Version]) ->
    Root = code:root_dir(),
    Files = filelib:wildcard(Root ++ "/lib/*/ebin/*.app")
        ++ filelib:wildcard("/usr/lib/*/ejabberd-*/ebin/ejabberd.app")
        ++ ["/usr/lib/elixir/lib/" ++ atom_to_list(App) ++ "/ebin/" ++ atom_to_list(App) ++ ".app"
            || App <- ?ELIXIR],
    %% Debian links some directories under a second name: keep the first one.
    Found = maps:from_list([{App, {File, Keys}}
                            || File <- lists:reverse(Files),
                               {ok, [{application, App, Keys}]} <- [file:consult(File)]]),
    Apps = maps:map(fun(App, {File, Keys}) -> {File, edit(App, Keys, Version)} end,
                    maps:without(?LEFT_OUT, Found)),
    maps:foreach(fun(App, {File, Keys}) -> install(Dir, App, File, Keys) end, Apps),
    use_elixirs_formatter(Dir, Apps),
    {ok, _} = beam_lib:strip_files(filelib:wildcard(Dir ++ "/lib/*/ebin/*.beam")),
    Versions = maps:map(fun(_, {_, Keys}) -> vsn(Keys) end, Apps),
    Server = needed([ejabberd], Apps, []),
    boot(Dir, Version, "start", Versions,
         fun(App) -> case lists:member(App, Server) of true -> permanent; false -> load end end),
    boot(Dir, Version, "start_clean", Versions,
         fun(App) when App =:= kernel; App =:= stdlib -> permanent; (_) -> none end).

%% The official ejabberd.app has the release's version (26.4.0 for 26.04) and depends
%% on Elixir's logger. Elixir needs `compiler` started, and a boot file does not start
%% an application that another one includes.
edit(ejabberd, Keys, Version) ->
    Included = proplists:get_value(included_applications, Keys, []),
    Needed = proplists:get_value(applications, Keys),
    lists:foldl(fun({Key, Value}, Acc) -> lists:keystore(Key, 1, Acc, {Key, Value}) end, Keys,
                [{vsn, Version},
                 {applications, Needed ++ [inets, logger]},
                 {included_applications, Included -- [compiler, inets]}]);
edit(_, Keys, _) ->
    Keys.

vsn(Keys) ->
    proplists:get_value(vsn, Keys).

install(Dir, App, File, Keys) ->
    From = filename:dirname(filename:dirname(File)),
    To = lib(Dir, App, vsn(Keys)),
    ok = filelib:ensure_dir(To ++ "/"),
    %% -L: Debian's `priv` has links to /usr/share, which the image lacks.
    [sh("cp -RL " ++ From ++ "/" ++ Sub ++ " " ++ To ++ "/")
     || Sub <- ["ebin", "priv"], filelib:is_dir(From ++ "/" ++ Sub)],
    Name = atom_to_list(App) ++ ".app",
    ok = file:write_file(To ++ "/ebin/" ++ Name,
                         io_lib:format("~tp.~n", [{application, App, Keys}])).

lib(Dir, App, Vsn) ->
    Dir ++ "/lib/" ++ atom_to_list(App) ++ "-" ++ Vsn.

sh(Command) ->
    "" = os:cmd(Command ++ " 2>&1").

needed([], _, Acc) ->
    Acc;
needed([App | Rest], Apps, Acc) ->
    case lists:member(App, Acc) of
        true -> needed(Rest, Apps, Acc);
        false ->
            #{App := {_, Keys}} = Apps,
            Deps = proplists:get_value(applications, Keys, []),
            Optional = proplists:get_value(optional_applications, Keys, []),
            needed([D || D <- Deps, maps:is_key(D, Apps) orelse not lists:member(D, Optional)] ++ Rest,
                   Apps, [App | Acc])
    end.

boot(Dir, Version, Name, Versions, Type) ->
    Out = Dir ++ "/releases/" ++ Version,
    ok = filelib:ensure_dir(Out ++ "/"),
    Release = {release, {"ejabberd", Version}, {erts, erlang:system_info(version)},
               [{App, Vsn, Type(App)} || {App, Vsn} <- maps:to_list(Versions)]},
    File = filename:join(Out, Name),
    ok = file:write_file(File ++ ".rel", io_lib:format("~p.~n", [Release])),
    Path = [case lists:member(App, ?OTP) of
                true -> lib(code:root_dir(), App, Vsn);
                false -> lib(Dir, App, Vsn)
            end ++ "/ebin" || {App, Vsn} <- maps:to_list(Versions)],
    case systools:make_script(Name, [{path, [Out | Path]}, {outdir, Out}, no_warn_sasl,
                                     no_module_tests, silent,
                                     {variables, [{"RELEASE_LIB", Dir ++ "/lib"}]}]) of
        {ok, _, _} -> ok = file:delete(File ++ ".script");
        {error, Module, Reason} -> fail(Module:format_error(Reason))
    end.

%% The official images log to the console through Elixir's formatter: that formatter
%% writes a term in Elixir's syntax, over several lines when the term is long. Debian's
%% ejabberd is compiled without Elixir, where console_template/0 returns a template that
%% Elixir's formatter does not understand. Replace that one function with the
%% upstream version. Before Elixir 1.15 the formatter takes no template from ejabberd.
use_elixirs_formatter(Dir, #{ejabberd := {_, Ejabberd}, elixir := {_, Elixir}}) ->
    Ebin = lib(Dir, ejabberd, vsn(Ejabberd)) ++ "/ebin/",
    case [list_to_integer(N) || N <- lists:sublist(string:lexemes(vsn(Elixir), "."), 2)] >= [1, 15] of
        true -> replace_console_template(Ebin ++ "ejabberd_logger.beam");
        false -> ok
    end.

replace_console_template(Beam) ->
    {ok, {_, [{abstract_code, {raw_abstract_v1, Forms}}]}} = beam_lib:chunks(Beam, [abstract_code]),
    Template = [date, " ", time, " [", level, "] ", message, "\n"],
    {[_], _} = lists:partition(fun is_console_template/1, Forms),
    {ok, _, Binary} = compile:forms([with_template(Form, Template) || Form <- Forms], []),
    ok = file:write_file(Beam, Binary).

is_console_template({function, _, console_template, 0, _}) -> true;
is_console_template(_) -> false.

with_template({function, At, console_template, 0, _}, Template) ->
    {function, At, console_template, 0,
     [{clause, At, [], [], [erl_parse:abstract(Template, [{location, At}])]}]};
with_template(Form, _) ->
    Form.

fail(Text) ->
    io:put_chars(standard_error, Text),
    halt(1).
