-- ARGV: index, id. The score below which older jobs are, also of an id that is gone: ids of one process sort by
-- acceptance, and those of others are near.
local low, high = 0, call('ZCARD', ARGV[1])
while low < high do
  local middle = math.floor((low + high) / 2)
  if call('ZRANGE', ARGV[1], middle, middle)[1] < ARGV[2] then low = middle + 1 else high = middle end
end
local next = call('ZRANGE', ARGV[1], low, low, 'WITHSCORES')
return next[2] or 'inf'
