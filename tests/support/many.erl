%% Runs many commands of ejabberdctl in one Erlang VM. A line of standard input is
%% a command, with tabs between its words. The response is a line `#`, the output
%% of ejabberdctl, and a line `=STATUS`. Operations without a command begin
%% with `!`.
Node = 'ejabberd@localhost',
io:setopts(standard_io, [binary, {encoding, unicode}]),
Call = fun(Module, Function, Args) -> rpc:call(Node, Module, Function, Args) end,
Bytes = fun unicode:characters_to_binary/1,
Subject = fun(Options) when is_list(Options) ->
                  case proplists:get_value(subject, Options, <<>>) of
                      [{text, _, Text} | _] -> Text;
                      Text when is_binary(Text) -> Text;
                      [] -> <<>>
                  end;
             (_) -> <<"no such room">> end,
Do = fun(["!subject", Room, Service, Host]) ->
             Options = Call(mod_muc, restore_room, [Bytes(Host), Bytes(Service), Bytes(Room)]),
             io:format("~ts~n", [Subject(Options)]), 0;
        (["!room", Room, Service, Host, Text]) ->
             Options = [{<<"persistent">>, <<"true">>}, {<<"subject">>, Bytes(Text)}],
             Args = [Bytes(Room), Bytes(Service), Bytes(Host), Options],
             case Call(mod_muc_admin, create_room_with_opts, Args) of
                 ok -> 0;
                 Other -> io:format("~p~n", [Other]), 1
             end;
        (["!table"]) ->
             io:format("~p~n", [Call(mnesia, table_info, [passwd, storage_type])]), 0;
        (["!table", Type]) ->
             {atomic, ok} =
                 Call(mnesia, change_table_copy_type, [passwd, Node, list_to_atom(Type)]), 0;
        (["!sleep", Millis]) -> timer:sleep(list_to_integer(Millis)), 0;
        (Words) -> Call(ejabberd_ctl, process, [Words])
     end,
Loop = fun Loop() ->
               case io:get_line("") of
                   eof -> ok;
                   Line ->
                       Words = string:split(string:trim(Line, trailing, "\n"), "\t", all),
                       io:format("#~n"),
                       Status = Do([unicode:characters_to_list(Word) || Word <- Words]),
                       io:format("~n=~p~n", [Status]),
                       Loop()
               end
       end,
Loop(), halt().
