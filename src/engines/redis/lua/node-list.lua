-- now, ms after which one that is absent is forgotten, a question to all or ''.
-- Returns id, NodeEntry and since when it is absent (-1: it is there) of each.
local nodes, absent = S .. ':nodes', S .. ':nodes:absent'
local now = tonumber(ARGV[1])
if ARGV[3] ~= '' then call(PUBLISH, S .. ':ask', ARGV[3]) end
local list, all = {}, call('HGETALL', nodes)
for i = 1, #all, 2 do
  local id, since = all[i], -1
  if call('PUBSUB', NUMSUB, S .. ':p:' .. id)[2] > 0 then
    call('HDEL', absent, id)
  else
    call('HSETNX', absent, id, ARGV[1])
    since = tonumber(call('HGET', absent, id))
  end
  if since >= 0 and now - since > tonumber(ARGV[2]) then
    call('HDEL', nodes, id)
    call('HDEL', absent, id)
  else
    for _, value in ipairs({ id, all[i + 1], since }) do list[#list + 1] = value end
  end
end
return list
