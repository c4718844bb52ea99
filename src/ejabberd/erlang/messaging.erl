% Functions for messages, which run inside the server. Each runs all of its steps
% in one call, so that no rule can change between the check and the message.
%
% Whether ejabberd has started, and does not stop. Otherwise some modules are missing: a message
% would bypass the archive and filters (seen on 26.07 while it started).
Serves = fun() ->
    lists:keymember(ejabberd, 1, application:which_applications())
        andalso element(1, init:get_status()) =:= started
end,
% An account that exists and is not banned. Before 24.06 the server does not
% store bans; the operator then knows only the bans of its file.
MayAct = fun(User, Host) ->
    case lists:member(Host, ejabberd_option:hosts())
         andalso ejabberd_auth:user_exists(User, Host) of
        true ->
            case catch mod_admin_extra:get_ban_details(User, Host) of
                [_ | _] -> banned;
                _ -> yes
            end;
        _ -> no_account
    end
end,
% The host of the service for rooms; none if the service is not one of this server.
RoomHost = fun(Service) ->
    Owners = [Host || Host <- ejabberd_option:hosts(), gen_mod:is_loaded(Host, mod_muc),
                      lists:member(Service, gen_mod:get_module_opt_hosts(Host, mod_muc))],
    case Owners of [Owner | _] -> Owner; [] -> none end
end,
% The rules of a room for an account: ok, or the first rule that forbids the room.
% A subscription would bypass the rules for members, passwords and captchas.
RoomRules = fun(Pid, Room, Service, Bare, Use) ->
    Options = mod_muc_admin:get_room_options(Room, Service),
    {ok, State} = mod_muc_room:get_state(Pid),
    On = fun(Name) -> proplists:get_value(Name, Options) =:= <<"true">> end,
    Subscribed = Bare =/= <<>>
        andalso mod_muc_room:is_subscribed(Pid, jid:decode(Bare)) =/= false,
    Effective = case Bare of
        <<>> -> none;
        _ -> mod_muc_room:get_affiliation(jid:decode(Bare), State)
    end,
    % A room for members counts its subscribers as members, so that a former member would
    % keep the right to write (seen on 24.12).
    Affiliation = case Subscribed andalso Effective =:= member of
        true ->
            {User, Host, _} = jid:tolower(jid:decode(Bare)),
            Given = [A || {U, H, A, _} <- mod_muc_admin:get_room_affiliations(Room, Service),
                          U =:= User, H =:= Host],
            case Given of [Stored | _] -> Stored; [] -> none end;
        false -> Effective
    end,
    Listed = lists:member(Affiliation, [owner, admin, member]),
    Staff = lists:member(Affiliation, [owner, admin]),
    Visitor = On(<<"moderated">>) andalso not Listed andalso not On(<<"members_by_default">>),
    Rule = if
        Affiliation =:= outcast -> outcast;
        true ->
            case {On(<<"members_only">>) andalso not Listed,
                  On(<<"password_protected">>) andalso not Staff andalso not Subscribed,
                  On(<<"captcha_protected">>) andalso not Listed andalso not Subscribed,
                  Use =:= send andalso Visitor} of
                {true, _, _, _} -> members_only;
                {_, true, _, _} -> password;
                {_, _, true, _} -> captcha;
                {_, _, _, true} -> moderated;
                _ -> ok
            end
    end,
    {Rule, Subscribed, On(<<"allow_subscription">>), On(<<"mam">>),
     proplists:get_value(<<"password">>, Options, <<>>)}
end,
BuildStanza = fun(Name, Attributes, Children, From, To) ->
    Element = {xmlel, Name, Attributes, Children},
    Packet = xmpp:decode(Element, <<"jabber:client">>, ejabberd_config:codec_options()),
    xmpp:set_from_to(Packet, From, To)
end,
% The limits of a query (XEP-0059): the newest messages, or a page before or after
% the message with the given id.
Limits = fun(Max, Where) ->
    Child = case Where of
        newest -> [{xmlel, <<"before">>, [], []}];
        {older, Id} -> [{xmlel, <<"before">>, [], [{xmlcdata, Id}]}];
        {newer, Id} -> [{xmlel, <<"after">>, [], [{xmlcdata, Id}]}]
    end,
    xmpp:decode({xmlel, <<"set">>, [{<<"xmlns">>, <<"http://jabber.org/protocol/rsm">>}],
                 [{xmlel, <<"max">>, [], [{xmlcdata, integer_to_binary(Max)}]} | Child]})
end,
% An archived message as texts; 'none' for an absent part.
Archived = fun({Id, _, Forwarded}) ->
    Element = xmpp:encode(Forwarded),
    Message = fxml:get_subtag(Element, <<"message">>),
    Part = fun(Name) ->
        case fxml:get_subtag(Message, Name) of
            false -> none;
            Child -> fxml:get_tag_cdata(Child)
        end
    end,
    Attribute = fun(Name) ->
        case fxml:get_tag_attr(Name, Message) of {value, Value} -> Value; false -> none end
    end,
    % The real JID of the sender of a message to a room, if the room shows it.
    Real = case fxml:get_subtag_with_xmlns(Message, <<"x">>, <<"http://jabber.org/protocol/muc#user">>) of
        false -> none;
        X -> fxml:get_path_s(X, [{elem, <<"item">>}, {attr, <<"jid">>}])
    end,
    {Id, fxml:get_path_s(Element, [{elem, <<"delay">>}, {attr, <<"stamp">>}]),
     Attribute(<<"id">>), Attribute(<<"from">>), Attribute(<<"to">>), Real,
     Part(<<"body">>), Part(<<"subject">>), Part(<<"thread">>)}
end,
% The archive id of the message with the given id among the newest Max messages
% since Start; none if it is not there.
FindArchived = fun(Host, Requestor, Archive, Start, Max, Type, Id) ->
    case catch mod_mam:select(Host, Requestor, Archive, [{start, Start}], Limits(Max, newest), Type, all) of
        {Messages, _, _} ->
            case [A || M <- Messages, {A, _, I, _, _, _, _, _, _} <- [Archived(M)], I =:= Id] of
                [Found | _] -> Found;
                [] -> none
            end;
        _ -> none
    end
end,
% Writes a table to disk: ok, or an error. Otherwise a server that is killed within three
% seconds loses messages that it confirmed. Other storages have no such table.
Written = fun(Table) ->
    case catch mnesia:table_info(Table, storage_type) of
        disc_only_copies -> catch dets:sync(Table);
        {'EXIT', _} -> ok;
        _ -> catch mnesia:sync_log()
    end
end,
% The time some seconds ago, because the clock of the server may step back.
Ago = fun(Seconds) ->
    At = os:system_time(microsecond) - Seconds * 1000000,
    {At div 1000000000000, At div 1000000 rem 1000000, At rem 1000000}
end,
Sent = fun(From, To, Type, Id, Texts) ->
    Children = [{xmlel, Name, [], [{xmlcdata, Text}]} || {Name, Text} <- Texts],
    Packet = BuildStanza(<<"message">>, [{<<"type">>, Type}, {<<"id">>, Id}], Children, From, To),
    {_, Host, _} = jid:tolower(From),
    % The hooks of a message that a client sends: the archive of the sender, and filters.
    case ejabberd_hooks:run_fold(user_send_packet, Host, {Packet, #{jid => From}}, []) of
        {drop, _} -> drop;
        {Filtered, _} -> Filtered
    end
end,
% Looks a message up until it is there, at most for about a second.
FindSoon = fun(Find) ->
    Look = fun Again(Pauses) ->
        case {Find(1, 20), Pauses} of
            {none, [Pause | More]} -> timer:sleep(Pause), Again(More);
            {Found, _} -> Found
        end
    end,
    Look([20, 40, 80, 160, 320, 640])
end,
% Runs Send, which routes a message, and returns {Result, Kept}: Kept is the archive id of the
% message in the archive of Owner, or none. Send returns when the processes that archive the
% message have handled it, or {late, Result} if one of them may not have.
%
% A query of an archive in Mnesia reads all messages of the account, so the table itself
% reports the message: the process that archives it sends the event before anything else.
% Other storages have an index.
Archiving = fun(Host, Owner, Id, Find, Send) ->
    Fields = case catch mnesia:table_info(archive_msg, attributes) of
        [us, id | _] = Names -> Names;
        _ -> []
    end,
    Reports = lists:member(packet, Fields)
        andalso gen_mod:db_mod(Host, mod_mam) =:= mod_mam_mnesia
        andalso mnesia:subscribe({table, archive_msg, simple}) =:= {ok, node()},
    {Late, Result} = case Send() of {late, R} -> {true, R}; R -> {false, R} end,
    Is = fun(Record) ->
        Values = maps:from_list(lists:zip(Fields, tl(tuple_to_list(Record)))),
        case Values of
            #{us := Owner, id := Archive, packet := Packet} ->
                fxml:get_tag_attr_s(<<"id">>, Packet) =:= Id andalso Archive;
            _ -> false
        end
    end,
    Event = fun Again(Until) ->
        receive
            {mnesia_table_event, {write, Record, _}} ->
                case Is(Record) of
                    false -> Again(Until);
                    Archive -> Archive
                end
        after max(0, Until - erlang:monotonic_time(millisecond)) -> none
        end
    end,
    Kept = if
        Reports, Late -> Event(erlang:monotonic_time(millisecond) + 1000);
        Reports -> Event(erlang:monotonic_time(millisecond));
        Late -> FindSoon(Find);
        true -> Find(1, 20)
    end,
    Reports andalso mnesia:unsubscribe({table, archive_msg, simple}),
    {Result, Kept}
end,
SendToAccount = fun(From, To, Since, Id, Texts) ->
    {User, Host, _} = jid:tolower(To),
    Local = lists:member(Host, ejabberd_option:hosts()),
    Archives = Local andalso gen_mod:is_loaded(Host, mod_mam),
    Find = fun(Seconds, Max) ->
        FindArchived(Host, To, To, Ago(Seconds), Max, chat, Id)
    end,
    Earlier = if Archives, Since > 0 -> Find(Since, 1000); true -> none end,
    % The processes of the sessions that a message to the account reaches.
    Sessions = fun() ->
        Resources = case Local of
            true -> [R || {P, R} <- ejabberd_sm:get_user_present_resources(User, Host), P >= 0];
            false -> []
        end,
        [Pid || R <- Resources, Pid <- [ejabberd_sm:get_session_pid(User, Host, R)], is_pid(Pid)]
    end,
    case not Local orelse ejabberd_auth:user_exists(User, Host) of
        false -> no_recipient;
        true when is_binary(Earlier) ->
            Delivery = case Sessions() of [] -> stored_offline; _ -> delivered end,
            {write, [archive_msg, offline_msg], {repeated, Earlier, Delivery}};
        true ->
            % Only without an archive: to count, the server reads all waiting messages.
            Counts = Local andalso not Archives andalso gen_mod:is_loaded(Host, mod_offline),
            Waiting = fun() ->
                case Counts of
                    true -> mod_offline:count_offline_messages(User, Host);
                    false -> 0
                end
            end,
            Before = Waiting(),
            Send = fun() ->
                case Sent(From, To, <<"chat">>, Id, Texts) of
                    drop -> dropped;
                    Packet ->
                        ejabberd_router:route(Packet),
                        % The session of the recipient archives the message. Its response shows
                        % that it has handled the message (as ejabberd_c2s:get_presence, with more
                        % time: Mnesia reads a whole archive to add a message).
                        Now = fun() -> erlang:monotonic_time(millisecond) end,
                        Until = Now() + 5000,
                        Asked = [catch xmpp_stream_in:call(Pid, get_presence, max(1, Until - Now()))
                                 || Pid <- Sessions()],
                        case [failed || {'EXIT', _} <- Asked] of
                            [] when Asked =:= [] -> offline;
                            [] -> online;
                            _ -> {late, online}
                        end
                end
            end,
            {Result, Archive} = case Archives of
                true -> Archiving(Host, {User, Host}, Id, Find, Send);
                false -> {case Send() of {late, R} -> R; R -> R end, none}
            end,
            After = Waiting(),
            if
                Result =:= dropped -> dropped;
                not Local -> {accepted, none};
                Result =:= online, Archive =/= none -> {write, [archive_msg], {delivered, Archive}};
                Result =:= online -> {accepted, none};
                Archive =/= none; After > Before ->
                    {write, [archive_msg, offline_msg], {stored_offline, Archive}};
                true -> not_stored
            end
    end
end,
% Sends to a room as a subscriber, or for the time of the message as an occupant.
% The stanzas bypass the router, because one may contain the room's password, and
% so that the room has handled the message when it returns its state.
SendToRoom = fun(From, To, Owner, Since, Id, Nick, Texts) ->
    {Room, Service, _} = jid:tolower(To),
    Bare = jid:encode(From),
    case mod_muc:unhibernate_room(Owner, Service, Room) of
        {ok, Pid} ->
            {Rule, Subscribed, Subscribable, Archives, Password} =
                RoomRules(Pid, Room, Service, Bare, send),
            Find = fun(Seconds, Max) ->
                {ok, State} = mod_muc_room:get_state(Pid),
                FindArchived(Owner, From, To, Ago(Seconds), Max, {groupchat, member, State}, Id)
            end,
            Earlier = if Since > 0 -> Find(Since, 1000); true -> none end,
            Permitted = acl:match_rule(Owner, mod_muc_opt:access(Owner), From),
            Subscription = if
                Permitted =/= allow -> {error, not_permitted};
                Rule =/= ok -> {error, Rule};
                Earlier =/= none -> {error, {repeated, Earlier, delivered}};
                Subscribed -> ok;
                Subscribable ->
                    case mod_muc_room:subscribe(Pid, From, Nick, []) of
                        {ok, _} -> ok;
                        {error, Why} -> {error, {room, Why}}
                    end;
                true -> join
            end,
            case Subscription of
                % The message may not be on the disk yet.
                {error, {repeated, _, _} = R} -> {write, [archive_msg], R};
                {error, R} -> R;
                _ ->
                    % A resource that no client has, for a visit.
                    Sender = case Subscription of
                        ok -> From;
                        join -> jid:replace_resource(From, <<"operator-", (p1_rand:get_string())/binary>>)
                    end,
                    Tell = fun(Name, Attributes, Children, At) ->
                        {_, _, N} = jid:tolower(At),
                        Visit = BuildStanza(Name, Attributes, Children, Sender, At),
                        p1_fsm:send_event(Pid, {route, N, Visit})
                    end,
                    Occupant = jid:replace_resource(To, Nick),
                    Send = fun() ->
                        case Sent(Sender, To, <<"groupchat">>, Id, Texts) of
                            drop -> dropped;
                            Packet ->
                                % The room removes an occupant without a session at the first
                                % message to that occupant, so it must have all stanzas at once.
                                [sys:suspend(Pid) || Subscription =:= join],
                                try
                                    Xmlns = [{<<"xmlns">>, <<"http://jabber.org/protocol/muc">>}],
                                    Secret = [{xmlel, <<"password">>, [], [{xmlcdata, Password}]}
                                              || Password =/= <<>>],
                                    Mute = {xmlel, <<"history">>, [{<<"maxstanzas">>, <<"0">>}], []},
                                    [Tell(<<"presence">>, [], [{xmlel, <<"x">>, Xmlns, [Mute | Secret]}], Occupant)
                                     || Subscription =:= join],
                                    p1_fsm:send_event(Pid, {route, <<>>, Packet}),
                                    [Tell(<<"presence">>, [{<<"type">>, <<"unavailable">>}], [], Occupant)
                                     || Subscription =:= join]
                                after
                                    [sys:resume(Pid) || Subscription =:= join]
                                end,
                                % The room responds after it has handled the message, unless its
                                % rate limit delays the message.
                                {ok, _} = mod_muc_room:get_state(Pid),
                                {late, sent}
                        end
                    end,
                    IsArchived = Archives andalso gen_mod:is_loaded(Owner, mod_mam),
                    {Result, Archive} = case IsArchived of
                        true -> Archiving(Owner, {Room, Service}, Id, Find, Send);
                        false -> {case Send() of {late, R} -> R; R -> R end, none}
                    end,
                    HasHistory = not Archives andalso mod_muc_opt:history_size(Owner) > 0,
                    if
                        Result =:= dropped -> dropped;
                        IsArchived, Archive =:= none -> not_broadcast;
                        IsArchived -> {write, [archive_msg], {delivered, Archive}};
                        not HasHistory -> {accepted, none};
                        true ->
                            % The history of the room in memory.
                            case FindSoon(Find) of
                                none -> not_broadcast;
                                _ -> {delivered, none}
                            end
                    end
            end;
        _ -> no_room
    end
end,
% Since is the age in seconds of the oldest message that may have the same id, after a
% restart of the operator; 0 if the operator knows that the id is new.
SendMessage = fun(FromText, ToText, Id, Nick, Since, Texts) ->
    From = jid:decode(FromText),
    To = jid:decode(ToText),
    {User, Host, _} = jid:tolower(From),
    {_, Service, _} = jid:tolower(To),
    case Serves() andalso MayAct(User, Host) of
        false -> starting;
        yes ->
            case RoomHost(Service) of
                none -> SendToAccount(From, To, Since, Id, Texts);
                Owner -> SendToRoom(From, To, Owner, Since, Id, Nick, Texts)
            end;
        Why -> {sender, Why}
    end
end,
% A page of messages: {page, Source, IsComplete, Messages, Waiting}, or why not.
ReadPage = fun(Reader, Room, With, Since, Until, Max, Where) ->
    Query = [{start, {S div 1000000, S rem 1000000, 0}} || S <- [Since], S =/= none]
        ++ [{'end', {U div 1000000, U rem 1000000, 999999}} || U <- [Until], U =/= none]
        ++ [{with, jid:decode(W)} || W <- [With], W =/= <<>>],
    Read = fun(Source, Host, Requestor, Archive, Type, Waiting) ->
        case catch mod_mam:select(Host, Requestor, Archive, Query, Limits(Max, Where), Type, all) of
            {Messages, Complete, _} ->
                {page, Source, Complete, [Archived(M) || M <- lists:keysort(2, Messages)], Waiting};
            {error, _} -> database
        end
    end,
    May = case Serves() of
        false -> starting;
        true when Reader =:= <<>> -> yes;
        true ->
            {U1, H1, _} = jid:tolower(jid:decode(Reader)),
            MayAct(U1, H1)
    end,
    case {May, Room} of
        {yes, <<>>} ->
            Jid = jid:decode(Reader),
            {User, Host, _} = jid:tolower(Jid),
            case gen_mod:is_loaded(Host, mod_mam) of
                false -> no_archive;
                true ->
                    Waiting = case gen_mod:is_loaded(Host, mod_offline) of
                        true -> mod_offline:count_offline_messages(User, Host);
                        false -> 0
                    end,
                    Read(archive, Host, Jid, Jid, chat, Waiting)
            end;
        {yes, _} ->
            At = jid:decode(Room),
            {Name, Service, _} = jid:tolower(At),
            Owner = RoomHost(Service),
            Opened = Owner =/= none andalso mod_muc:unhibernate_room(Owner, Service, Name),
            case Opened of
                {ok, Pid} ->
                    {Rule, _, _, Archives, _} = RoomRules(Pid, Name, Service, Reader, read),
                    Loaded = gen_mod:is_loaded(Owner, mod_mam),
                    if
                        Rule =/= ok -> Rule;
                        Archives, not Loaded -> no_archive;
                        true ->
                            {ok, State} = mod_muc_room:get_state(Pid),
                            Source = if Archives -> archive; true -> room_history end,
                            Asker = case Reader of <<>> -> At; _ -> jid:decode(Reader) end,
                            Read(Source, Owner, Asker, At, {groupchat, member, State}, 0)
                    end;
                _ -> no_room
            end;
        {starting, _} -> starting;
        {Why, _} -> {reader, Why}
    end
end,
