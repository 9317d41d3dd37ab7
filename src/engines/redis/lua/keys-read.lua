-- All keys: {version, digests and keys, digests and times of revocation}; only {version} if the caller has that one
-- ('0': nothing was changed since they were put there, or all was lost).
local version = call('GET', S .. ':keys:n') or '0'
if version == ARGV[1] and version ~= '0' then return { version } end
return { version, call('HGETALL', S .. ':keys'), call('HGETALL', S .. ':keys:revoked') }
