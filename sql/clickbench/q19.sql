-- One user.
SELECT userid FROM hits WHERE userid = 4354358995787217;
