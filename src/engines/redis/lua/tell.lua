-- What is told without a commit. ARGV: term, then processes and their messages. 0: it is not the coordinator any more.
local term = ARGV[1]
if string.sub(call('GET', S .. ':fence') or '', 1, #term + 1) ~= term .. ':' then return 0 end
for i = 2, #ARGV, 2 do call(PUBLISH, S .. ':p:' .. ARGV[i], ARGV[i + 1]) end
return 1
