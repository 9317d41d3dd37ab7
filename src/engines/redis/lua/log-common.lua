-- include log
-- ARGV: id, an epoch. Returns the last seq up to which the log is the one that this epoch had.
local key, epoch = log_key(ARGV[1]), tonumber(ARGV[2])
local known = false
for _, each in ipairs(call('LRANGE', log_epochs, 0, -1)) do
  if tonumber(string.match(each, '^%d+')) == epoch then known = true end
end
if not known then return 0 end
local low, high = 0, call('LLEN', key)
while low < high do
  local middle = math.floor((low + high) / 2)
  local _, of = log_header(call('LINDEX', key, middle))
  if of > epoch then high = middle else low = middle + 1 end
end
if low == 0 then return 0 end
return log_last(call('LINDEX', key, low - 1))
