-- All that is set of tenants and models: {version, names and records}; only {version} if the caller has that one.
local version = call('GET', S .. ':tenants:n') or '0'
if version == ARGV[1] and version ~= '0' then return { version } end
return { version, call('HGETALL', S .. ':tenants') }
