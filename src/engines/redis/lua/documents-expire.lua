-- include room
-- include documents
-- now, most: those whose time is over go. Returns how many.
local gone = call('ZRANGE', EXPIRE, '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(gone) do
  local kind, id = string.match(member, '^(%S+) (%S+)$')
  local _, tenant = stored(kind, id)
  drop(kind, id, tenant or '')
end
return #gone
