-- include room
-- include documents
-- kind, id, version. Returns 1, or 0 where it was not there in that version.
local known, tenant = stored(ARGV[1], ARGV[2])
if known == 0 or known ~= tonumber(ARGV[3]) then return 0 end
drop(ARGV[1], ARGV[2], tenant)
return 1
