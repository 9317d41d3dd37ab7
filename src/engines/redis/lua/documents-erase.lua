-- include room
-- include documents
-- kind, tenant, most: its documents go. Returns how many.
local gone = call('ZRANGE', ids_of(ARGV[1], ARGV[2]), 0, ARGV[3] - 1)
for _, id in ipairs(gone) do drop(ARGV[1], id, ARGV[2]) end
return #gone
