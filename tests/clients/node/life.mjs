// Gets a token with openid-client, introspects it, revokes it, introspects it again; with "jwt" it
// asks for signed answers (RFC 9701), which the library verifies.
// usage: node life.mjs ISSUER CLIENT_ID CERT KEY CA aliases|no-aliases [jwt]
import * as client from 'openid-client';
import { connect } from './connect.mjs';

const signed = process.argv[8] === 'jwt';
const metadata = signed ? { introspection_signed_response_alg: 'ES256' } : {};
const { config, asked, types, close } = await connect(...process.argv.slice(2, 8), metadata);
if (signed) client.enableNonRepudiationChecks(config);
try {
  const { access_token: token } = await client.clientCredentialsGrant(config);
  const before = await client.tokenIntrospection(config, token);
  await client.tokenRevocation(config, token);
  const after = await client.tokenIntrospection(config, token);
  console.log(JSON.stringify({ asked, types, token, before, after }));
} catch (error) {
  console.log(JSON.stringify({ asked, error: error.error, status: error.status, message: error.message, cause: String(error.cause) }));
} finally {
  await close();
}
