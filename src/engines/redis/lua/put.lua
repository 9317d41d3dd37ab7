-- Fills a shard at rest. ARGV: the fence that its holder found, then changes: how many; and for each, how many arguments,
-- a command, its key, and the arguments. Returns 'fenced' where another one holds the shard, or coordinates, or did
-- meanwhile: whoever was stopped for longer than its hold changes nothing. Scripts that include it go on with ARGV.
if call('GET', S .. ':fence') ~= ARGV[1] then return 'fenced' end
local at = 1
local function take()
  at = at + 1
  return ARGV[at]
end
for _ = 1, take() do
  local count, verb, key = tonumber(take()), take(), take()
  call(verb, S .. ':' .. key, unpack(ARGV, at + 1, at + count))
  at = at + count
end
