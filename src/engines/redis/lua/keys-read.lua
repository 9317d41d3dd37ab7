-- All keys: {version, digests and keys, digests and times of revocation}; only {version} if the caller has that one.
local version = call('GET', S .. ':keys:n') or '0'
if version == ARGV[1] then return { version } end
return { version, call('HGETALL', S .. ':keys'), call('HGETALL', S .. ':keys:revoked') }
