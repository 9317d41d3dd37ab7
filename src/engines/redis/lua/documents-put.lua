-- include documents
-- kind, id, the version in whose place it comes or 0, tenant, due at, goes at, body. Returns 1, or 0 where another
-- version is there.
local kind, id, version, tenant, due, goes, body = unpack(ARGV)
local known, before = stored(kind, id)
if known ~= tonumber(version) then return 0 end
keep(kind, id, string.format('%.0f', version + 1), tenant, due, goes, body, before)
return 1
