% Asks ejabberd itself whether it would start with the configuration that
% EJABBERD_CONFIG_PATH names, without starting it. Prints "verdict: " and
% "accepted", "refused" or "unable" with the reason, and "end of verdict"; what
% applications print while they start comes before, and what the logger still
% has to say comes after.
Say = fun(Format, Args) -> io:put_chars(unicode:characters_to_binary(["\nverdict: ", io_lib:format(Format, Args), "\nend of verdict\n"])), halt(0) end,
try
    [application:load(A) || A <- [mnesia, ejabberd]],
    [case application:ensure_all_started(A) of
         {ok, _} -> ok;
         {error, Why} -> throw({cannot_start, A, Why})
     end || A <- [crypto, ssl, p1_utils, fast_yaml, stringprep, fast_xml, xmpp,
                  cache_tab, fast_tls, pkix, yconf, jose]],
    case ejabberd_config:load() of
        ok -> Say("accepted~n", []);
        Error -> Say("refused ~ts~n", [ejabberd_config:format_error(Error)])
    end
catch
    throw:{cannot_start, App, Reason} -> Say("unable ~p does not start: ~0P~n", [App, Reason, 20]);
    Class:R -> Say("unable ~p: ~0P~n", [Class, R, 20])
end.
