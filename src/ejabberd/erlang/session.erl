% The program of the control channel. Reads frames (4 bytes of length, then a
% term) from standard input, each a list of {Id, Timeout, Module, Function,
% Args}. Runs each call on the server in a separate process. Writes frames, each
% a list of {Id, Outcome}. Ends when its input ends.
%
% Outcome: {ok, Result} | {thrown, Tag, Text} | {crashed, Tag, Where}
%        | {unreachable, Reason, <<>>}
% A reason is reduced to its tag, and a stack to its topmost function, because
% both may contain the arguments, and so a password.
% A node name without a host has the host name of this machine.
Name = hd(init:get_plain_arguments()),
Node = list_to_atom(case lists:member($@, Name) of
    true -> Name;
    false ->
        case init:get_argument(name) of
            {ok, _} -> Name ++ "@" ++ net_adm:localhost();
            error -> Name ++ "@" ++ element(2, inet:gethostname())
        end
end),
Main = self(),
Port = open_port({fd, 0, 1}, [{packet, 4}, binary, eof]),
% Drops the output of commands. Otherwise the output would go into the frames.
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
% A node without a fixed name gets a name from the first node that it connects
% to explicitly; erpc alone does not connect. A server that is busy with its
% start may refuse the first connection.
Connect = fun Inner(Again) ->
    case net_kernel:connect_node(Node) of
        true -> true;
        _ when Again > 0 -> timer:sleep(150), Inner(Again - 1);
        _ -> false
    end
end,
% A frozen server accepts the connection and does not respond. OTP would wait
% seven seconds, which is longer than a probe may take.
Connected = fun(Timeout) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({connected, Connect(2)}) end),
    receive {'DOWN', Ref, process, Pid, {connected, Is}} -> Is;
            {'DOWN', Ref, process, Pid, _} -> false
    after Timeout -> timeout
    end
end,
Call = fun(Timeout, M, F, A) ->
    try
        case Connected(Timeout) of
            true -> {ok, erpc:call(Node, M, F, A, Timeout)};
            timeout -> {unreachable, timeout, <<>>};
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
% Functions that run inside the server, because their steps must run together.
Inside = fun
    (configuration, []) -> Expanded;
    (send, [From, To, Id, Nick, Since, Texts]) ->
        fun() -> SendMessage(From, To, Id, Nick, Since, Texts) end;
    (messages, [Reader, Room, With, Since, Until, Max, newest, _]) ->
        fun() -> ReadPage(Reader, Room, With, Since, Until, Max, newest) end;
    (messages, [Reader, Room, With, Since, Until, Max, Direction, Id]) ->
        fun() -> ReadPage(Reader, Room, With, Since, Until, Max, {Direction, Id}) end;
    % The facts about the server's start on which its configuration depends. The
    % rest of the environment is not read, because it can contain secrets.
    (start, []) ->
        fun() ->
            {ok, Directory} = file:get_cwd(),
            {unicode:characters_to_binary(Directory),
             [unicode:characters_to_binary(Line) || "EJABBERD_MACRO_" ++ _ = Line <- os:getenv()]}
        end;
    (subject, [Host, Service, Room, From, Stanzas]) ->
    fun() ->
        % The room removes an occupant without a session at the first message to that
        % occupant. So the room is suspended until it has all of the stanzas.
        {ok, Pid} = mod_muc:unhibernate_room(Host, Service, Room),
        sys:suspend(Pid),
        % The stanzas bypass the router, which logs whole stanzas at loglevel debug,
        % because one of them may contain the password of the room.
        Tell = fun(To, Stanza) ->
            At = jid:decode(To),
            {_, _, Nick} = jid:tolower(At),
            Element = fxml_stream:parse_element(Stanza),
            Known = ejabberd_config:codec_options(),
            Packet = xmpp:decode(Element, <<"jabber:client">>, Known),
            Addressed = xmpp:set_from_to(Packet, jid:decode(From), At),
            p1_fsm:send_event(Pid, {route, Nick, Addressed})
        end,
        try [Tell(To, Stanza) || {To, Stanza} <- Stanzas], ok
        after sys:resume(Pid)
        end
    end;
(backends, [Host]) ->
    fun() ->
        % Each function has a separate process, because a backend that is down blocks
        % its caller for minutes. A process that ends by exit() logs no report.
        Each = fun(Wait, Fs) ->
            Runs = [spawn_monitor(fun() ->
                        exit({done, try F() catch _:_ -> crashed end})
                    end) || F <- Fs],
            End = erlang:monotonic_time(millisecond) + Wait,
            [receive
                 {'DOWN', Ref, process, Pid, {done, R}} -> R;
                 {'DOWN', Ref, process, Pid, _} -> crashed
             after max(0, End - erlang:monotonic_time(millisecond)) -> exit(Pid, kill), silent
             end || {Pid, Ref} <- Runs]
        end,
        Why = fun Inner(R) when is_atom(R) -> R;
                  Inner(R) when is_tuple(R), tuple_size(R) > 0 -> Inner(element(1, R));
                  Inner(_) -> other
              end,
        % ejabberd's LDAP client also tries IPv4 first, then IPv6.
        Reach = fun(Server, At) ->
            Try = fun(Family) ->
                case gen_tcp:connect(binary_to_list(Server), At, [Family], 1200) of
                    {ok, S} -> gen_tcp:close(S), ok;
                    {error, W} -> Why(W)
                end
            end,
            case Try(inet) of
                ok -> ok;
                First -> case Try(inet6) of ok -> ok; _ -> First end
            end
        end,
        Probe = <<"ejabberd-operator-probe">>,
        % The connections that logins use; ejabberd takes the first of each pool.
        % The state of a connection contains a password and stays in this VM.
        Pooled = fun(Module) ->
            Process = gen_mod:get_module_proc(Host, Module),
            case pg:get_local_members(list_to_atom("eldap_pool_" ++ atom_to_list(Process))) of
                [First | _] -> First;
                [] -> exit({done, no_process})
            end
        end,
        Bound = fun(Module) ->
            fun() ->
                {State, _} = p1_fsm:sync_send_all_state_event(Pooled(Module), status, 2000),
                State
            end
        end,
        Ldap = fun() ->
            Number = ejabberd_option:ldap_port(Host),
            Servers = ejabberd_option:ldap_servers(Host) ++ ejabberd_option:ldap_backups(Host),
            Known = lists:sublist(lists:usort(Servers), 16),
            Pools = [Bound(M) || M <- [ejabberd_auth_ldap, bind_ejabberd_auth_ldap]],
            Asked = Each(2800, Pools ++ [fun() -> Reach(S, Number) end || S <- Known]),
            {States, Reached} = lists:split(2, Asked),
            Seen = [{<<S/binary, ":", (integer_to_binary(Number))/binary>>, R}
                    || {S, R} <- lists:zip(Known, Reached)],
            case lists:all(fun(S) -> S =:= active orelse S =:= active_bind end, States) of
                false -> {not_bound, Seen};
                true ->
                    Attribute = case ejabberd_option:ldap_uids(Host) of
                        [Uid | _] when is_tuple(Uid) -> element(1, Uid);
                        _ -> <<"uid">>
                    end,
                    Search = fun() ->
                        Asks = [{base, ejabberd_option:ldap_base(Host)}, {limit, 1},
                                {filter, eldap:equalityMatch(Attribute, Probe)},
                                {attributes, [Attribute]}],
                        case eldap:search(Pooled(ejabberd_auth_ldap), Asks) of
                            {error, R} -> Why(R);
                            R when element(1, R) =:= eldap_search_result -> answers;
                            _ -> other
                        end
                    end,
                    {hd(Each(2500, [Search])), Seen}
            end
        end,
        % The responses of the other methods for an account that does not exist.
        Said = fun({_, {error, _}}) -> failed;
                  ({_, Is}) when is_boolean(Is) -> answers;
                  (_) -> other
               end,
        Module = fun(Method) -> list_to_atom("ejabberd_auth_" ++ atom_to_list(Method)) end,
        Ask = fun(ldap) -> Ldap();
                 (mnesia) ->
                     case mnesia:wait_for_tables([passwd], 2000) of
                         ok -> {answers, []};
                         _ -> {failed, []}
                     end;
                 (sql) ->
                     Place = case ejabberd_option:sql_type(Host) of
                         Type when Type =:= sqlite; Type =:= odbc -> atom_to_binary(Type, utf8);
                         Type ->
                             iolist_to_binary(
                                 [atom_to_binary(Type, utf8), " at ", ejabberd_option:sql_server(Host),
                                  ":", integer_to_binary(ejabberd_option:sql_port(Host))])
                     end,
                     Asked = Each(4000, [fun() -> ejabberd_auth_sql:get_password(Probe, Host) end]),
                     case Asked of
                         [{cache, _}] -> {answers, [{Place, ok}]};
                         [silent] -> {silent, [{Place, silent}]};
                         _ -> {failed, [{Place, failed}]}
                     end;
                 (external) ->
                     Program = iolist_to_binary([ejabberd_option:extauth_program(Host)]),
                     Asked = Each(4000, [fun() -> ejabberd_auth_external:user_exists(Probe, Host) end]),
                     case Asked of
                         [silent] -> {silent, [{Program, silent}]};
                         [R] -> {Said(R), [{Program, Said(R)}]}
                     end;
                 (jwt) ->
                     case ejabberd_option:jwt_key(Host) of
                         undefined -> {no_key, []};
                         _ -> {answers, []}
                     end;
                 (anonymous) -> {answers, []};
                 (Method) ->
                     % PAM, and methods of other packages: their response does not show that
                     % they accept a password.
                     M = Module(Method),
                     _ = code:ensure_loaded(M),
                     case erlang:function_exported(M, user_exists, 2) of
                         false -> {untold, []};
                         true ->
                             case Each(4000, [fun() -> Said(M:user_exists(Probe, Host)) end]) of
                                 [answers] -> {untold, []};
                                 [R] -> {R, []}
                             end
                     end
              end,
        Methods = lists:sublist(ejabberd_option:auth_method(Host), 16),
        Found = Each(6000, [fun() -> Ask(Method) end || Method <- Methods]),
        [case R of
             {Word, Places} -> {Method, Word, Places};
             Word -> {Method, Word, []}
         end || {Method, R} <- lists:zip(Methods, Found)]
    end
end,
% Functions that run beside the server, in its network but not in its node, as a
% client would. Read returns the data up to one of the Ends, or up to the end.
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
Has = fun(Data, Part) -> binary:match(Data, Part) =/= nomatch end,
% The text between the first Left and the next Right; empty if Left is missing.
Between = fun(Data, Left, Right) ->
    case binary:split(Data, Left) of
        [_, Rest] -> hd(binary:split(Rest, Right));
        _ -> <<>>
    end
end,
% A listener with use_proxy_protocol expects this line (PROXY protocol, version
% 1), and closes the connection of a client that sends no such line.
ProxyHeader = fun(Socket) ->
    case {inet:sockname(Socket), inet:peername(Socket)} of
        {{ok, {From, FromPort}}, {ok, {At, AtPort}}} when is_tuple(From) ->
            Family = case tuple_size(From) of 4 -> "TCP4"; 8 -> "TCP6" end,
            io_lib:format("PROXY ~s ~s ~s ~b ~b\r\n",
                          [Family, inet:ntoa(From), inet:ntoa(At), FromPort, AtPort]);
        _ ->
            % A Unix socket has no addresses.
            "PROXY UNKNOWN\r\n"
    end
end,
Plain = fun(Socket, Timeout) ->
    {fun(Data) -> gen_tcp:send(Socket, Data) end,
     fun() -> gen_tcp:recv(Socket, 0, Timeout) end}
end,
% No certificate is verified, because the connection does not leave the host.
Secure = fun(Socket, To, Timeout) ->
    {ok, _} = application:ensure_all_started(ssl),
    Options = [{verify, verify_none}, {server_name_indication, binary_to_list(To)}],
    case ssl:connect(Socket, Options, Timeout) of
        {ok, Tls} ->
            {fun(Data) -> ssl:send(Tls, Data) end, fun() -> ssl:recv(Tls, 0, Timeout) end};
        {error, _} -> throw(tls)
    end
end,
Wire = fun(Socket, direct_tls, To, Timeout) -> Secure(Socket, To, Timeout);
          (Socket, plain, _, Timeout) -> Plain(Socket, Timeout)
       end,
Escaped = fun(User) ->
    binary:replace(binary:replace(User, <<"=">>, <<"=3D">>, [global]), <<",">>, <<"=2C">>, [global])
end,
Auth = fun(Mechanism, Data) ->
    [<<"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='">>, Mechanism, <<"'>">>,
     base64:encode(Data), <<"</auth>">>]
end,
Refused = [<<"</failure>">>, <<"</stream:stream>">>],
% RFC 5802, without channel binding. The server must also prove that it knows
% the password. The server chooses the number of rounds, so limit the number.
Scram = fun(Mechanism, Hash, {Send, Recv}, User, Password) ->
    Nonce = base64:encode(crypto:strong_rand_bytes(18)),
    Bare = <<"n=", (Escaped(User))/binary, ",r=", Nonce/binary>>,
    ok = Send(Auth(Mechanism, <<"n,,", Bare/binary>>)),
    Answer = Read(Recv, [<<"</challenge>">> | Refused], <<>>),
    Has(Answer, <<"</challenge>">>) orelse throw(not_authorized),
    [_, Encoded] = binary:split(Between(Answer, <<"<challenge">>, <<"</challenge>">>), <<">">>),
    First = base64:decode(Encoded),
    Fields = [{K, V} || <<K, $=, V/binary>> <- binary:split(First, <<",">>, [global])],
    Both = proplists:get_value($r, Fields),
    Salt = base64:decode(proplists:get_value($s, Fields)),
    Rounds = binary_to_integer(proplists:get_value($i, Fields)),
    Rounds > 0 andalso Rounds =< 200000 orelse throw(too_many_rounds),
    NonceSize = byte_size(Nonce),
    binary:longest_common_prefix([Nonce, Both]) =:= NonceSize orelse throw(wrong_nonce),
    Size = maps:get(size, crypto:hash_info(Hash)),
    Salted = crypto:pbkdf2_hmac(Hash, Password, Salt, Rounds, Size),
    Mac = fun(Key, Data) -> crypto:mac(hmac, Hash, Key, Data) end,
    ClientKey = Mac(Salted, <<"Client Key">>),
    Final = <<"c=biws,r=", Both/binary>>,
    All = <<Bare/binary, ",", First/binary, ",", Final/binary>>,
    Proof = crypto:exor(ClientKey, Mac(crypto:hash(Hash, ClientKey), All)),
    Response = <<Final/binary, ",p=", (base64:encode(Proof))/binary>>,
    ok = Send([<<"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>">>,
               base64:encode(Response), <<"</response>">>]),
    Last = Read(Recv, [<<"</success>">> | Refused], <<>>),
    Has(Last, <<"</success>">>) orelse throw(not_authorized),
    [_, Outcome] = binary:split(Between(Last, <<"<success">>, <<"</success>">>), <<">">>),
    Expected = <<"v=", (base64:encode(Mac(Mac(Salted, <<"Server Key">>), All)))/binary>>,
    base64:decode(Outcome) =:= Expected orelse throw(server_does_not_know_the_password),
    ok
end,
% The strongest mechanism first, as clients choose.
Mechanisms = [{<<"SCRAM-SHA-512">>, sha512}, {<<"SCRAM-SHA-256">>, sha256},
              {<<"SCRAM-SHA-1">>, sha}, {<<"PLAIN">>, plain}],
% The login of a client, up to the binding of a resource. If the server logs the
% received data, do not use PLAIN, because the log would contain the password.
Login = fun({Send, Recv} = W, To, Offered, User, Password, Logs) ->
    % The mechanisms of RFC 6120, without the mechanisms of newer protocols.
    List = Between(Offered, <<"urn:ietf:params:xml:ns:xmpp-sasl">>, <<"</mechanisms>">>),
    Usable = [M || {Id, _} = M <- Mechanisms, Has(List, <<">", Id/binary, "<">>)],
    case Usable of
        [] -> throw(no_common_mechanism);
        [{_, plain} | _] when Logs -> throw(plain_would_be_logged);
        [{Id, plain} | _] ->
            ok = Send(Auth(Id, <<0, User/binary, 0, Password/binary>>)),
            Has(Read(Recv, [<<"<success">> | Refused], <<>>), <<"<success">>)
                orelse throw(not_authorized);
        [{Id, Hash} | _] ->
            {ok, _} = application:ensure_all_started(crypto),
            Scram(Id, Hash, W, User, Password)
    end,
    % The server applies the access rule of the listener only at this step.
    ok = Send(Header(To)),
    Read(Recv, Features, <<>>),
    ok = Send(<<"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>">>),
    case Has(Read(Recv, [<<"</iq>">>, <<"</stream:stream>">>], <<>>), <<"<jid>">>) of
        true -> in;
        false -> throw(not_allowed)
    end
end,
Open = fun({Send, Recv}, To) ->
    ok = Send(Header(To)),
    Read(Recv, Features, <<>>)
end,
% A text frame of a WebSocket (RFC 6455), masked with zeros because a client must mask.
Framed = fun(Text) ->
    Bytes = iolist_to_binary(Text),
    case byte_size(Bytes) of
        Short when Short < 126 -> <<16#81, 1:1, Short:7, 0:32, Bytes/binary>>;
        Long -> <<16#81, 1:1, 126:7, Long:16, 0:32, Bytes/binary>>
    end
end,
Starttls = fun({Send, Recv}, Socket, To, Timeout) ->
    ok = Send(<<"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>">>),
    Has(Read(Recv, [<<"<proceed">>, <<"</stream:stream>">>, <<"<failure">>], <<>>), <<"<proceed">>)
        orelse throw(tls),
    Secure(Socket, To, Timeout)
end,
Beside = fun
    (open, Socket, Tls, To, [], Timeout) ->
        Open(Wire(Socket, Tls, To, Timeout), To);
    % The steps of a client before it needs an account: TLS if the server offers it,
    % and the login mechanisms.
    (stream, Socket, Tls, To, [], Timeout) ->
        First = Wire(Socket, Tls, To, Timeout),
        Offered = Open(First, To),
        case Has(Offered, <<"urn:ietf:params:xml:ns:xmpp-tls">>) of
            true ->
                Second = Open(Starttls(First, Socket, To, Timeout), To),
                <<Offered/binary, Second/binary>>;
            false -> Offered
        end;
    % RFC 7395.
    (websocket, Socket, Tls, To, [Path], Timeout) ->
        {Send, Recv} = Wire(Socket, Tls, To, Timeout),
        ok = Send([<<"GET ">>, Path, <<" HTTP/1.1\r\nHost: ">>, To,
                   <<"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n"
                     "Sec-WebSocket-Key: ">>, base64:encode(crypto:strong_rand_bytes(16)),
                   <<"\r\n\r\n">>]),
        Answer = Read(Recv, [<<"\r\n\r\n">>], <<>>),
        case Answer of
            <<"HTTP/1.1 101", _/binary>> ->
                ok = Send(Framed([<<"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' "
                                    "version='1.0' to='">>, To, <<"'/>">>])),
                Ends = [<<"</stream:features>">>, <<"<close">>, <<"</stream:error>">>],
                Read(Recv, Ends, <<>>);
            _ -> Answer
        end;
    % XEP-0124 and XEP-0206. The session ends by itself without a further request.
    (bosh, Socket, Tls, To, [Path], Timeout) ->
        {Send, Recv} = Wire(Socket, Tls, To, Timeout),
        Body = iolist_to_binary(
            [<<"<body xmlns='http://jabber.org/protocol/httpbind' rid='1' ver='1.6' wait='5' "
               "hold='1' xml:lang='en' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0' to='">>, To,
             <<"'/>">>]),
        ok = Send([<<"POST ">>, Path, <<" HTTP/1.0\r\nHost: ">>, To,
                   <<"\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: ">>,
                   integer_to_binary(byte_size(Body)), <<"\r\n\r\n">>, Body]),
        Read(Recv, [<<"</body>">>], <<>>);
    (get, Socket, Tls, To, [Path], Timeout) ->
        {Send, Recv} = Wire(Socket, Tls, To, Timeout),
        ok = Send([<<"GET ">>, Path, <<" HTTP/1.0\r\nHost: ">>, To, <<"\r\n\r\n">>]),
        Read(Recv, [<<"\r\n">>], <<>>);
    (login, Socket, Tls, To, [User, Password, Logs], Timeout) ->
        First = Wire(Socket, Tls, To, Timeout),
        Offered = Open(First, To),
        case Has(Offered, <<"urn:ietf:params:xml:ns:xmpp-tls">>) of
            true ->
                Second = Starttls(First, Socket, To, Timeout),
                Login(Second, To, Open(Second, To), User, Password, Logs);
            false -> Login(First, To, Offered, User, Password, Logs)
        end
end,
Look = fun(Timeout, F, [Ip, Number, Proxy, Tls, To | A]) ->
    try
        Address = case Ip of
            <<"unix:", Path/binary>> -> {local, Path};
            _ -> {ok, Parsed} = inet:parse_address(binary_to_list(Ip)), Parsed
        end,
        case gen_tcp:connect(Address, Number, [binary, {active, false}], Timeout) of
            {ok, S} ->
                try
                    [ok = gen_tcp:send(S, ProxyHeader(S)) || Proxy =:= proxied],
                    {ok, Beside(F, S, Tls, To, A, Timeout)}
                after
                    gen_tcp:close(S)
                end;
            {error, Why} -> throw(Why)
        end
    catch
        throw:R -> {thrown, Tag(R), <<>>};
        _:R -> {crashed, Tag(R), <<>>}
    end
end,
% The content of files of the kernel about this network and this user. Without
% IPv6, tcp6 does not exist. The size of such a file is unknown before the read.
Kernel = fun(Files) ->
    Contents = fun(File) ->
        case file:read_file(File) of {ok, Data} -> Data; _ -> <<>> end
    end,
    {ok, iolist_to_binary([Contents(File) || File <- Files])}
end,
% Writes tables of the server to disk for all calls that wait: one write of a table
% serves many messages.
Writer = spawn(fun Inner() ->
    receive
        {write, From, Ref, Tables} ->
            More = fun Next() ->
                receive {write, F, R, T} -> [{F, R, T} | Next()] after 0 -> [] end
            end,
            Calls = [{From, Ref, Tables} | More()],
            Done = [Table || Table <- lists:usort(lists:append([T || {_, _, T} <- Calls])),
                             (catch erpc:call(Node, erlang, apply, [Written, [Table]], 5000)) =:= ok],
            [F ! {written, R, T -- Done =:= []} || {F, R, T} <- Calls],
            Inner()
    end
end),
% A server that was killed before the write may have lost the message: then the
% outcome is not known, as after a timeout.
AfterWrite = fun
    ({ok, {write, Tables, Result}}, Timeout) ->
        Ref = make_ref(),
        Writer ! {write, self(), Ref, Tables},
        receive
            {written, Ref, true} -> {ok, Result};
            {written, Ref, false} -> {unreachable, timeout, <<>>}
        after Timeout -> {unreachable, timeout, <<>>}
        end;
    (Outcome, _) -> Outcome
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
                     beside_the_server when F =:= tables ->
                         Kernel(["/proc/self/net/tcp", "/proc/self/net/tcp6"]);
                     beside_the_server when F =:= status -> Kernel(["/proc/self/status"]);
                     beside_the_server -> Look(Timeout, F, A);
                     inside_the_server ->
                         AfterWrite(Call(Timeout, erlang, apply, [Inside(F, A), []]), Timeout);
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
% The first frame reports that this VM runs, even if the server does not respond.
% The VM may have written text before it, as OTP 29 does without libsctp.
port_command(Port, <<"ejabberd-operator: the session is up">>),
Loop().
