-- id, NodeEntry. Whoever had its seat before, and is not there, is listed no longer.
local nodes, absent = S .. ':nodes', S .. ':nodes:absent'
local seat = cjson.decode(ARGV[2]).seat
local all = call('HGETALL', nodes)
for i = 1, #all, 2 do
  local is_there = call('PUBSUB', NUMSUB, S .. ':p:' .. all[i])[2] > 0
  if not is_there and cjson.decode(all[i + 1]).seat == seat then
    call('HDEL', nodes, all[i])
    call('HDEL', absent, all[i])
  end
end
return call('HSET', nodes, ARGV[1], ARGV[2])
