-- include conversations
-- tenant, id, 'renamed' and its name, or 'truncated' and ''. Returns whether there is one.
local name = conversation_name(ARGV[1], ARGV[2])
if call('EXISTS', S .. ':c:' .. name) == 0 then return 0 end
if ARGV[3] == 'renamed' then call('HSET', S .. ':c:' .. name, 'name', ARGV[4]) end
conversation_news(name, ARGV[3], function() return ARGV[4] end)
return 1
