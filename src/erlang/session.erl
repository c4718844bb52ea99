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
% Inside the server, as one piece: what would come to nothing in parts.
Inside = fun(subject, [Host, Service, Room, From, Stanzas]) ->
    fun() ->
        % An occupant without a session is thrown out by the first message that
        % reaches it. Held up, the room gets all of this before it answers.
        {ok, Pid} = mod_muc:unhibernate_room(Host, Service, Room),
        sys:suspend(Pid),
        try [mod_admin_extra:send_stanza(From, To, Stanza) || {To, Stanza} <- Stanzas], ok
        after sys:resume(Pid)
        end
    end
end,
% Beside the server, in its network but not in its node: what a client sees.
% Answers what was read up to one of the Ends, or all of it up to the end.
Read = fun Inner(Recv, Ends, Before) ->
    case binary:match(Before, Ends) of
        nomatch when byte_size(Before) < 65536 ->
            case Recv() of
                {ok, More} -> Inner(Recv, Ends, <<Before/binary, More/binary>>);
                {error, closed} -> Before;
                {error, Why} -> throw(Why)
            end;
        _ -> Before
    end
end,
Header = fun(To) ->
    [<<"<?xml version='1.0'?><stream:stream version='1.0' xmlns='jabber:client' "
       "xmlns:stream='http://etherx.jabber.org/streams' to='">>, To, <<"'>">>]
end,
Features = [<<"</stream:features>">>, <<"</stream:stream>">>],
Has = fun(Text, Part) -> binary:match(Text, Part) =/= nomatch end,
% A login by SASL PLAIN, under TLS where that is offered: this never leaves the host.
Login = fun(Send, Recv, To, User, Password) ->
    ok = Send(Header(To)),
    Read(Recv, Features, <<>>),
    ok = Send([<<"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>">>,
               base64:encode(<<0, User/binary, 0, Password/binary>>), <<"</auth>">>]),
    case Has(Read(Recv, [<<"<success">>, <<"</failure>">>], <<>>), <<"<success">>) of
        true -> ok;
        false -> throw(not_authorized)
    end,
    % The access rule of the listener counts only now.
    ok = Send(Header(To)),
    Read(Recv, Features, <<>>),
    ok = Send(<<"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>">>),
    case Has(Read(Recv, [<<"</iq>">>, <<"</stream:stream>">>], <<>>), <<"<jid>">>) of
        true -> in;
        false -> throw(not_allowed)
    end
end,
Beside = fun
    (open, [Ip, Number, To], Timeout, S) ->
        ok = gen_tcp:send(S, Header(To)),
        Read(fun() -> gen_tcp:recv(S, 0, Timeout) end, Features, <<>>);
    (get, [Ip, Number, Path], Timeout, S) ->
        ok = gen_tcp:send(S, [<<"GET ">>, Path, <<" HTTP/1.0\r\nHost: localhost\r\n\r\n">>]),
        Read(fun() -> gen_tcp:recv(S, 0, Timeout) end, [<<"\r\n">>], <<>>);
    (login, [Ip, Number, To, User, Password], Timeout, S) ->
        Plain = fun() -> gen_tcp:recv(S, 0, Timeout) end,
        ok = gen_tcp:send(S, Header(To)),
        case Has(Read(Plain, Features, <<>>), <<":xmpp-tls'">>) of
            false ->
                gen_tcp:send(S, <<"</stream:stream>">>),
                throw(no_starttls);
            true ->
                {ok, _} = application:ensure_all_started(ssl),
                ok = gen_tcp:send(S, <<"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>">>),
                Read(Plain, [<<"<proceed">>, <<"</stream:stream>">>], <<>>),
                case ssl:connect(S, [{verify, verify_none}], Timeout) of
                    {ok, T} ->
                        Login(fun(Data) -> ssl:send(T, Data) end,
                              fun() -> ssl:recv(T, 0, Timeout) end, To, User, Password);
                    {error, _} -> throw(tls)
                end
        end
end,
Look = fun(Timeout, F, [Ip, Number | _] = A) ->
    try
        {ok, Address} = inet:parse_address(binary_to_list(Ip)),
        case gen_tcp:connect(Address, Number, [binary, {active, false}], Timeout) of
            {ok, S} ->
                try {ok, Beside(F, A, Timeout, S)} after gen_tcp:close(S) end;
            {error, Why} -> throw(Why)
        end
    catch
        throw:R -> {thrown, Tag(R), <<>>};
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
                 Main ! {done, {Id, case M of
                     beside_the_server -> Look(Timeout, F, A);
                     inside_the_server -> Call(Timeout, erlang, apply, [Inside(F, A), []]);
                     _ -> Call(Timeout, M, F, A)
                 end}}
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
