-- How many hear for each process. ARGV: processes.
local counts = {}
for i, process in ipairs(ARGV) do counts[i] = call('PUBSUB', NUMSUB, S .. ':p:' .. process)[2] end
return counts
