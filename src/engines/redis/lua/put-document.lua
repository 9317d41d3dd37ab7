-- include put
-- include documents
-- A document of elsewhere. ARGV: see put; kind, id, version, tenant, due at, goes at, body.
keep(unpack(ARGV, at + 1))
return 1
