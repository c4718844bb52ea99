% Checks whether ejabberd would start with a configuration, without a start of
% ejabberd. Arguments: the path of the server's main file, the directory with
% the new files, the server's working directory (or an empty string), and the
% names of the new files. Prints "verdict: " and "accepted" with the expanded
% configuration, "refused" or "unable" with the reason, and "end of verdict".
% Applications may print before the verdict, and the logger after it.
Say = fun(Format, Args) -> io:put_chars(unicode:characters_to_binary(["\nverdict: ", io_lib:format(Format, Args), "\nend of verdict\n"])), halt(0) end,
% Stage makes each new file visible at its final path in this VM: every reader
% of the path gets the new file. The process file_server_2 opens every file that
% is not opened raw (`file` of OTP 25 to 29), so a process in front of
% file_server_2 changes the path. Follow resolves links as the system does,
% except at the last part of a new file's path, because the new file will
% replace that link.
Follow = fun
    Inner(Base, [], _, _) -> Base;
    Inner(Base, ["." | Rest], New, Left) -> Inner(Base, Rest, New, Left);
    Inner(Base, [".." | Rest], New, Left) -> Inner(filename:dirname(Base), Rest, New, Left);
    Inner(Base, [Part | Rest], New, Left) ->
        Path = filename:join(Base, Part),
        Link = case Left > 0 andalso not maps:is_key(Path, New) of
            true -> prim_file:read_link_all(Path);
            false -> none
        end,
        case Link of
            {ok, Target} ->
                case filename:split(unicode:characters_to_list(Target)) of
                    ["/" | Parts] -> Inner("/", Parts ++ Rest, New, Left - 1);
                    Parts -> Inner(Base, Parts ++ Rest, New, Left - 1)
                end;
            _ -> Inner(Path, Rest, New, Left)
        end
end,
Stage = fun(Main, Staged, Names) ->
    {ok, Directory} = file:get_cwd(),
    Real = fun(Path, New) ->
        ["/" | Parts] = filename:split(filename:absname(Path, Directory)),
        Follow("/", Parts, New, 40)
    end,
    Beside = filename:dirname(Main),
    Place = fun("ejabberd.yml") -> Main; (Name) -> filename:join(Beside, Name) end,
    New = maps:from_list(
        [begin
             Path = Place(Name),
             {filename:join(Real(filename:dirname(Path), #{}), filename:basename(Path)),
              filename:join(Staged, Name)}
         end || Name <- Names]),
    Changed = fun(Path) when is_list(Path); is_binary(Path) ->
                      try maps:get(Real(unicode:characters_to_list(Path), New), New, Path)
                      catch _:_ -> Path
                      end;
                 (Other) -> Other
              end,
    Server = whereis(file_server_2),
    Between = spawn(fun Inner() ->
        receive
            {'$gen_call', From, Request} when is_tuple(Request), tuple_size(Request) > 1 ->
                Server ! {'$gen_call', From, setelement(2, Request, Changed(element(2, Request)))},
                Inner();
            Other ->
                Server ! Other,
                Inner()
        end
    end),
    unregister(file_server_2),
    register(file_server_2, Between)
end,
% Applications that ejabberd starts for some options, and that may be in a
% separate package. Without such an application, ejabberd ends at its start
% (`ejabberd:start_app/1` in ejabberd_sql_sup, ejabberd_redis_sup and
% ejabberd_auth_pam, 23.01 to 26.07).
Option = fun(Name, Host) -> try ejabberd_config:get_option({Name, Host}) catch _:_ -> undefined end end,
Kinds = fun(Host) ->
    Modules = [element(2, M) || M <- Option(modules, Host), is_tuple(M), tuple_size(M) > 1],
    lists:flatten(
        [Option(auth_method, Host), [Option(Name, Host) || Name <- [sm_db_type, router_db_type, oauth_db_type]],
         [maps:get(Name, Options, undefined) || Options <- Modules, is_map(Options), Name <- [db_type, ram_db_type]]])
end,
Drivers = fun(Host) ->
    Used = Kinds(Host),
    Sql = case Option(sql_type, Host) of
        mysql -> p1_mysql;
        pgsql -> p1_pgsql;
        sqlite -> sqlite3;
        _ -> odbc
    end,
    [{Why, App} || {Kind, Why, App} <- [
        {sql, io_lib:format("`sql_type: ~s`", [Option(sql_type, Host)]), Sql},
        {redis, "`redis`", eredis}, {pam, "`auth_method: pam`", epam}],
     lists:member(Kind, Used)]
end,
Missing = fun() ->
    [{Host, Why, App} || Host <- ejabberd_config:get_option(hosts), {Why, App} <- Drivers(Host),
     case application:load(App) of
         ok -> false;
         {error, {already_loaded, _}} -> false;
         {error, _} -> true
     end]
end,
try
    [Main, Staged, Directory | Names] = init:get_plain_arguments(),
    Directory =:= "" orelse file:set_cwd(Directory),
    Stage(Main, Staged, Names),
    [application:load(A) || A <- [mnesia, ejabberd]],
    [case application:ensure_all_started(A) of
         {ok, _} -> ok;
         {error, Cause} -> throw({cannot_start, A, Cause})
     end || A <- [crypto, ssl, p1_utils, fast_yaml, stringprep, fast_xml, xmpp,
                  cache_tab, fast_tls, pkix, yconf, jose]],
    case ejabberd_config:load() of
        ok ->
            case Missing() of
                [] -> Say("accepted ~s~n", [Expanded()]);
                [{Host, Why, App} | _] ->
                    Say("refused ~s of ~ts needs the Erlang application ~s, which is not installed "
                        "where the server runs; install it there, or use an image that has it~n",
                        [Why, Host, App])
            end;
        Error -> Say("refused ~ts~n", [ejabberd_config:format_error(Error)])
    end
catch
    throw:too_large -> Say("unable the configuration has more than 3 MiB after its macros and included files are put in~n", []);
    throw:{cannot_start, App1, Reason} -> Say("unable ~p does not start: ~0P~n", [App1, Reason, 20]);
    Class:R -> Say("unable ~p: ~0P~n", [Class, R, 20])
end.
