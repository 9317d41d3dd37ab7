-- Takes the coordinator's place without coordinating, and keeps it: nobody commits meanwhile. ARGV: who, ttl ms, whom it
-- may replace or '', a pattern of the channels of processes, the newest layout that it reads. Returns 1 and how many
-- processes there are; 0, who coordinates, and how many hear for it; or -1 and the layout, which is too new.
local host, ttl, from, pattern = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local layout = tonumber(call('GET', S .. ':layout') or 1)
if layout > tonumber(ARGV[5]) then return { -1, layout } end
local owner = call('GET', S .. ':owner')
if owner and owner ~= host and owner ~= from then
  return { 0, owner, call('PUBSUB', NUMSUB, S .. ':h:' .. owner)[2] }
end
call('SET', S .. ':owner', host, 'PX', ttl)
-- A coordinator that was stopped, and wakes up, finds another's fence
if owner ~= host then call('SET', S .. ':fence', string.format('%.0f.%s:0', call('INCR', S .. ':term'), host)) end
return { 1, #call('PUBSUB', NUMSUB == 'NUMSUB' and 'CHANNELS' or 'SHARDCHANNELS', pattern) }
