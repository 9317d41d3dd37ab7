-- Raises the fleet's layout where all its processes read the new one. ARGV: term, layout, a pattern of the channels of
-- processes, whose names begin with what they read. Returns the layout from now on; of layout 0, the one in force.
local term, layout = ARGV[1], tonumber(ARGV[2])
local now = tonumber(call('GET', S .. ':layout') or 1)
if string.sub(call('GET', S .. ':fence') or '', 1, #term + 1) ~= term .. ':' then return now end
if now >= layout then return now end
local prefix = #S + #':p:'
for _, channel in ipairs(call('PUBSUB', NUMSUB == 'NUMSUB' and 'CHANNELS' or 'SHARDCHANNELS', ARGV[3])) do
  if tonumber(string.match(channel, '^%d+', prefix + 1) or 0) < layout then return now end
end
call('SET', S .. ':layout', layout)
return layout
