% Json turns the result of yconf into JSON: in ASCII, on one line, with the keys
% in their order, including repeated keys. yconf represents an empty mapping as
% an empty list, and plain words as atoms whose characters are the bytes of the
% file (as yconf:to_binary/1 takes them).
AsBytes = fun(A) when is_atom(A) ->
               try atom_to_binary(A, latin1) catch _:_ -> atom_to_binary(A, utf8) end;
           (B) when is_binary(B) -> B;
           (Other) -> unicode:characters_to_binary(io_lib:format("~0tp", [Other]))
        end,
Quoted = fun(Word) ->
    B = AsBytes(Word),
    Characters = case unicode:characters_to_list(B) of
        L when is_list(L) -> L;
        _ -> binary_to_list(B)
    end,
    [$", [if C =:= $"; C =:= $\\ -> [$\\, C];
             C >= 32, C < 127 -> C;
             C < 16#10000 -> io_lib:format("\\u~4.16.0b", [C]);
             true -> [io_lib:format("\\u~4.16.0b", [Half]) ||
                      Half <- [16#D800 + ((C - 16#10000) bsr 10),
                               16#DC00 + ((C - 16#10000) band 16#3FF)]]
          end || C <- Characters], $"]
end,
Json = fun
    Inner([{_, _} | _] = Map) ->
        [${, lists:join($,, [[Quoted(K), $:, Inner(V)] || {K, V} <- Map]), $}];
    Inner(List) when is_list(List) -> [$[, lists:join($,, [Inner(E) || E <- List]), $]];
    Inner(true) -> "true";
    Inner(false) -> "false";
    Inner(I) when is_integer(I) -> integer_to_list(I);
    Inner(F) when is_float(F) -> io_lib:format("~w", [F]);
    Inner(Word) -> Quoted(Word)
end,
% Expanded is the configuration in force in the VM that runs this function. The
% size limit is the same as the limit of the operator.
Expanded = fun() ->
    Text = iolist_to_binary(Json(ejabberd_config:get_option(yaml_config))),
    byte_size(Text) =< 3145728 orelse throw(too_large),
    Text
end,
