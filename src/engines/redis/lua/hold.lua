-- Takes the coordinator's place without coordinating, or keeps it: nobody commits meanwhile. ARGV: who, ttl ms, whom it
-- may replace or '', a pattern of the channels of processes, the newest layout that it reads, the fence that it found
-- when it took the place or ''. Returns 1, how many processes there are, and the fence; 0, who coordinates or '', and
-- how many hear for it; or -1 and the layout, which is too new.
local host, ttl, from, pattern, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[6]
local layout = tonumber(call('GET', S .. ':layout') or 1)
if layout > tonumber(ARGV[5]) then return { -1, layout } end
local owner = call('GET', S .. ':owner')
if owner and owner ~= host and owner ~= from then
  return { 0, owner, call('PUBSUB', NUMSUB, S .. ':h:' .. owner)[2] }
end
local fence = call('GET', S .. ':fence')
-- Its place was free for a while, and somebody was there
if known ~= '' and fence ~= known then return { 0, '', 0 } end
call('SET', S .. ':owner', host, 'PX', ttl)
-- A coordinator that was stopped, and wakes up, finds another's fence
if known == '' then
  fence = string.format('%.0f.%s:0', call('INCR', S .. ':term'), host)
  call('SET', S .. ':fence', fence)
end
return { 1, #call('PUBSUB', NUMSUB == 'NUMSUB' and 'CHANNELS' or 'SHARDCHANNELS', pattern), fence }
