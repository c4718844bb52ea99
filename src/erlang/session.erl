% The far end of the control channel: reads frames (4 bytes of length, then a
% term) from standard input, each a list of {Id, Timeout, Module, Function,
% Args}; calls each on the server, in a process of its own; writes frames, each
% a list of {Id, Outcome}. Ends with its input.
%
% Outcome: {ok, Result} | {thrown, Tag, Text} | {crashed, Tag, Where}
%        | {unreachable, Reason, <<>>}
% A reason is cut down to its tag, a stack to its topmost function: either may
% hold the arguments, and so a password.
Node = list_to_atom(hd(init:get_plain_arguments())),
Main = self(),
Port = open_port({fd, 0, 1}, [{packet, 4}, binary, eof]),
% Commands that print would print into our frames: their output ends here.
Sink = spawn(fun Swallow() ->
    receive
        {io_request, From, Ref, _} -> From ! {io_reply, Ref, ok}, Swallow();
        _ -> Swallow()
    end
end),
Tag = fun Inner(R) when is_atom(R) -> R;
          Inner({error, R}) -> Inner(R);
          Inner(R) when is_tuple(R), tuple_size(R) > 0 -> Inner(element(1, R));
          Inner(_) -> other
      end,
Text = fun Inner({error, R}) -> Inner(R);
           Inner({_, R}) -> Inner(R);
           Inner(R) when is_binary(R), byte_size(R) < 1000 -> R;
           Inner(R) when is_list(R), length(R) < 1000 ->
               case catch unicode:characters_to_binary(R) of
                   B when is_binary(B) -> B;
                   _ -> <<>>
               end;
           Inner(_) -> <<>>
       end,
Where = fun([{M, F, A, _} | _]) ->
                N = if is_list(A) -> length(A); true -> A end,
                iolist_to_binary(io_lib:format("~s:~s/~b", [M, F, N]));
           (_) -> <<>>
        end,
% A node without a name of its own is given one by the first node that it
% connects to on purpose; erpc alone does not connect.
% A server that is busy starting may turn the first attempt away.
Connect = fun Inner(Again) ->
    case net_kernel:connect_node(Node) of
        true -> true;
        _ when Again > 0 -> timer:sleep(150), Inner(Again - 1);
        _ -> false
    end
end,
Call = fun(Timeout, M, F, A) ->
    try
        case Connect(2) of
            true -> {ok, erpc:call(Node, M, F, A, Timeout)};
            _ -> {unreachable, noconnection, <<>>}
        end
    catch
        throw:R -> {thrown, Tag(R), Text(R)};
        error:{erpc, R} -> {unreachable, Tag(R), <<>>};
        error:{exception, R, Stack} -> {crashed, Tag(R), Where(Stack)};
        exit:{exception, R} -> {crashed, Tag(R), <<>>};
        _:R -> {crashed, Tag(R), <<>>}
    end
end,
Drain = fun Inner(Done, 0) -> Done;
            Inner(Done, N) ->
                receive {done, D} -> Inner([D | Done], N - 1)
                after 0 -> Done
                end
        end,
Loop = fun Inner() ->
    receive
        {Port, {data, Frame}} ->
            [spawn(fun() ->
                 group_leader(Sink, self()),
                 Main ! {done, {Id, Call(Timeout, M, F, A)}}
             end) || {Id, Timeout, M, F, A} <- binary_to_term(Frame)],
            Inner();
        {done, First} ->
            port_command(Port, term_to_binary(Drain([First], 255))),
            Inner();
        {Port, eof} ->
            halt(0);
        _ ->
            Inner()
    end
end,
Loop().
